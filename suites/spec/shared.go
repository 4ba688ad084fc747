package spec

import (
	"context"
	"errors"
	"syscall"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// SharedSandbox is one that several checks ask in, one after the other, so that
// it is started once. Each of them has to make what it depends on as it needs
// it, and to leave nothing that the next does not make anew.
type SharedSandbox struct {
	config sandbox.Config
	box    *sandbox.Sandbox
}

// ShareSandbox declares such a sandbox. Call it while packages are initialised.
func ShareSandbox(config sandbox.Config) *SharedSandbox {
	s := &SharedSandbox{config: config}
	ginkgo.ReportAfterSuite("a shared sandbox ends", func(ginkgo.Report) { s.close() })
	return s
}

// Use returns the sandbox, which starts with the first check that asks for it
// and ends with the run. It skips the spec where this machine gives its user
// none, and for the need of the links where the kernel does not know their kind
// of interface.
func (s *SharedSandbox) Use(ctx context.Context, links check.Need) *sandbox.Sandbox {
	ginkgo.GinkgoHelper()
	if s.box != nil {
		return s.box
	}
	load := StartLoad()
	box, err := sandbox.Start(ctx, s.config)
	SkipRefused(err)
	if errors.Is(err, syscall.EOPNOTSUPP) {
		Skip(links, err.Error())
	}
	load.ExcuseTimeout(err)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "start a sandbox")
	s.box = box
	return box
}

// Drop ends the sandbox, so that the next check is given another. It is for one
// that may have been left in the middle of something.
func (s *SharedSandbox) Drop() { s.close() }

func (s *SharedSandbox) close() {
	if s.box != nil {
		// Nothing depends on how it ends.
		_ = s.box.Close()
		s.box = nil
	}
}
