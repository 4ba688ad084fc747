package spec

import "github.com/onsi/ginkgo/v2"

// RunUnderGoTest runs the specs of the packages that the test imports, so that
// `go test ./suites/tcp` and `ginkgo ./suites/tcp` ask the same as the binary.
func RunUnderGoTest(t ginkgo.GinkgoTestingT, description string) {
	ginkgo.RunSpecs(t, description)
}
