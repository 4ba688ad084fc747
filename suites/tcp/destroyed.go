package tcp

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// clsDestruction is what a kernel needs that ends sockets of others.
var clsDestruction = check.Need{
	Name: "SOCK_DESTROY",
	How:  "have the kernel built with CONFIG_INET_DIAG_DESTROY=y, and its module loaded with `modprobe tcp_diag`",
}

// clsDestroyed is what both ends of a connection read that was destroyed.
type clsDestroyed struct {
	clsMissing
	Own, Peer syscall.Errno
}

var _ = spec.Job(suite, "ends a connection that is destroyed by sock_diag with ECONNABORTED, and resets its peer", check.Check{
	ID: "TCP-067", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, clsDestruction},
	Source: "ss(8), -K; sock_diag(7), SOCK_DESTROY; linux, net/ipv4/tcp.c, tcp_abort",
	Asks:   "In a network namespace of its own, destroys the client's end of a connection as `ss -K` does. The client's next read must give ECONNABORTED and the server's ECONNRESET.",
	Why:    "Operators cut off clients that way, Android and ChromeOS all connections of a network that went away. A program that is not told waits for its own timeout on a connection that is dead; a peer that is not told keeps it for ever.",
	Causes: []string{
		"a firewall drops RST segments",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, clsDestroy, func(_ SpecContext, seen clsDestroyed) {
	seen.skip()
	Expect(clsSays(seen.Own)).To(Equal(clsSays(syscall.ECONNABORTED)), "what the end reads that was destroyed")
	Expect(clsSays(seen.Peer)).To(Equal(clsSays(syscall.ECONNRESET)), "what the other end reads")
	spec.Evidence("reads", "the end that was destroyed: %s; the other: %s", seen.Own, seen.Peer)
})

// clsDestroy destroys one end of a connection and reads at both.
func clsDestroy(ctx context.Context, _ *sandbox.Inside) (seen clsDestroyed, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p, err := clsConnect(ctx)
	if err != nil {
		return seen, err
	}
	defer p.close()
	err = socktable.Destroy(ctx, p.clientAddr, p.serverAddr)
	if errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.EPROTONOSUPPORT) {
		seen.clsMissing = clsMissing{clsDestruction.Name, clsDestruction.How, err.Error()}
		return seen, nil
	}
	if err != nil {
		return seen, err
	}
	if seen.Own, err = clsReadErrno(ctx, p.client); err != nil {
		return seen, fmt.Errorf("a read at the end that was destroyed: %w", err)
	}
	if seen.Peer, err = clsReadErrno(ctx, p.server); err != nil {
		return seen, fmt.Errorf("a read at the other end of a connection that was destroyed: %w", err)
	}
	return seen, nil
}

// clsReadErrno reads and returns the errno of it, 0 where the read succeeds.
// The error is any other, such as the context's.
func clsReadErrno(ctx context.Context, s *sock.Socket) (errno syscall.Errno, err error) {
	_, err = s.Recv(ctx, make([]byte, 1), 0)
	if errors.As(err, &errno) {
		err = nil
	}
	return errno, err
}
