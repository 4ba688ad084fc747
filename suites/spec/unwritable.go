package spec

import (
	"errors"
	"syscall"

	"github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
)

var writableSettings = check.Need{
	Name: "writable /proc/sys",
	How:  "run it outside of the container, or in one that was started with --privileged",
}

// skipUnwritable skips the spec where a sandbox could not change its own
// settings: a container may give private namespaces and still keep /proc/sys
// read-only in them.
func skipUnwritable(err error) {
	ginkgo.GinkgoHelper()
	if errors.Is(err, syscall.EROFS) {
		Skip(writableSettings, err.Error())
	}
}
