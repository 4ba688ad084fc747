package spec

import (
	"context"
	"errors"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// Sandbox starts a sandbox that ends with the spec. It skips the spec where
// this machine gives its user none.
func Sandbox(ctx context.Context, config sandbox.Config) *sandbox.Sandbox {
	ginkgo.GinkgoHelper()
	s, err := sandbox.Start(ctx, config)
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		skipRefused(refused)
	}
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "start a sandbox")
	ginkgo.DeferCleanup(s.Close)
	return s
}

func skipRefused(refused *sandbox.RefusedError) {
	ginkgo.GinkgoHelper()
	Skip(check.Need{Name: check.Sandbox.Name, How: refused.How}, refused.Error())
}
