package spec

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"

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
	SkipRefused(err)
	gomega.Expect(err).NotTo(gomega.HaveOccurred(), "start a sandbox")
	ginkgo.DeferCleanup(s.Close)
	return s
}

// SkipRefused skips the spec where an error says that this machine gives its user
// no sandbox.
func SkipRefused(err error) {
	ginkgo.GinkgoHelper()
	refused, ok := errors.AsType[*sandbox.RefusedError](err)
	if !ok {
		return
	}
	Skip(check.Need{Name: check.Sandbox.Name, How: refused.How}, refused.Error())
}

// PacketSockets is what it takes to send frames.
var PacketSockets = check.Need{
	Name: "packet sockets",
	How:  "run it outside of the container or its seccomp filter; where the kernel lacks them, load them with `modprobe af_packet`",
}

var socketFilters = check.Need{
	Name: "socket filters",
	How:  "run it as root, or where private namespaces are allowed: this kernel refuses SO_ATTACH_FILTER to ordinary users",
}

// SkipLacking skips the spec where an error of what ran in a sandbox says that
// not even there is to be had what the check takes. A container that hides
// parts of its /proc, or has it read-only, refuses the sandbox one of its own;
// a seccomp filter that refuses sockets holds inside as well; and a kernel may
// lack the setting, or the family.
func SkipLacking(err error) {
	ginkgo.GinkgoHelper()
	if err == nil {
		return
	}
	for _, lack := range []struct {
		says     string
		need     check.Need
		refusals []error
	}{
		{"/proc/sys/", check.OwnSettings, []error{syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.ENOENT}},
		{"open a packet socket", PacketSockets, []error{syscall.EACCES, syscall.EPERM, syscall.EAFNOSUPPORT}},
		{"socket", check.IPv6, []error{syscall.EAFNOSUPPORT}},
		{"open a raw socket", check.NetRaw, []error{syscall.EACCES, syscall.EPERM}},
		{"ignore what arrives", socketFilters, []error{syscall.EPERM}},
	} {
		is := func(refusal error) bool { return errors.Is(err, refusal) }
		if strings.Contains(err.Error(), lack.says) && slices.ContainsFunc(lack.refusals, is) {
			Skip(lack.need, err.Error())
		}
	}
}
