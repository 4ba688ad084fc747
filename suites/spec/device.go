package spec

import (
	"errors"
	"syscall"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// BindToLo keeps a socket that is about to be bound to a wildcard address from
// everyone but the machine itself: it receives over lo alone. It skips the spec
// where this user may not ask for that.
func BindToLo(s *sock.Socket) {
	ginkgo.GinkgoHelper()
	err := s.BindToDevice("lo")
	if errors.Is(err, syscall.EPERM) {
		Skip(check.BindToDevice, err.Error())
	}
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
}
