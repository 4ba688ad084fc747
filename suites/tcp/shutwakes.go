package tcp

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// clsAsleep is how long a call may wait in the kernel that nobody wakes.
const clsAsleep = 2 * time.Second

var _ = suite.It("wakes a blocked read with 0 and a blocked accept with EINVAL at shutdown", check.Check{
	ID: "TCP-070", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv4/af_inet.c, inet_shutdown; net/ipv4/inet_connection_sock.c, inet_csk_wait_for_connect",
	Asks:   "Has a thread wait in recv(2) on a connection, and another in accept(2) on a listener, until each sleeps in the kernel, and shuts both sockets down. The read must return 0 and the accept EINVAL, within two seconds.",
	Why:    "Servers with a thread for each connection (Java, C++, Erlang ports) end their threads so: close(2) wakes nobody. Where shutdown does not either, stopping the service hangs until it is killed.",
	Causes: []string{
		spec.OtherStack,
	},
	Remedies: []string{
		spec.OwnStack,
		"until then, have the program wait in poll(2) with an eventfd beside the socket",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	reader, _ := joined(deadline)
	var n int
	var read error
	clsWake(deadline, reader, "a read", func() { n, read = reader.TryRecv(make([]byte, 1), 0) })
	Expect(read).NotTo(HaveOccurred(), "what a blocked read returned after shutdown")
	Expect(n).To(BeZero(), "bytes of a blocked read after shutdown")

	listener, err := clsListen(sock.IPv4.Loopback(0), false)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	var taken *sock.Socket
	var accept error
	clsWake(deadline, listener, "an accept", func() { taken, accept = listener.TryAccept() })
	if accept == nil {
		taken.Close()
	}
	Expect(accept).To(MatchError(syscall.EINVAL), "what a blocked accept returned after shutdown")
	spec.Evidence("woken", "recv: %d; accept: %s", n, reason(accept))
})

// clsWake has a call wait on the socket, shuts the socket down when it does,
// and waits until the call has returned.
func clsWake(ctx context.Context, s *sock.Socket, what string, call func()) {
	GinkgoHelper()
	Expect(errors.Join(s.SetBlocking(true), s.SetWaits(clsAsleep, 0))).To(Succeed())
	returned, err := sock.StartBlocked(ctx, call)
	if returned != nil {
		// The socket is closed after the spec, and must not be before.
		DeferCleanup(func() { <-returned })
	}
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		spec.Skip(check.Need{Name: "/proc", How: "run it where /proc shows the process's own threads: `mount -t proc proc /proc`"}, err.Error())
	}
	Expect(err).NotTo(HaveOccurred(), "%s that is to wait", what)
	Expect(s.Shutdown(sock.Both)).To(Succeed(), "shut down a socket while %s waits on it", what)
	Eventually(returned).WithContext(ctx).Should(BeClosed(), "the end of %s that shutdown was to wake", what)
}
