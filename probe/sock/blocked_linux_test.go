package sock_test

import (
	"context"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestStartBlockedReturnsWhileTheCallWaits(t *testing.T) {
	g := NewWithT(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	s, _, err := sock.ClosedUDP(sock.IPv4)
	g.Expect(err).NotTo(HaveOccurred())
	defer s.Close()
	g.Expect(s.SetBlocking(true)).To(Succeed())
	var received error
	returned, err := sock.StartBlocked(ctx, func() { _, received = s.TryRecv(make([]byte, 1), 0) })
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(returned).NotTo(BeClosed())
	self, err := s.LocalAddr()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.SendTo(ctx, []byte("x"), self, 0)).To(Equal(1))
	g.Eventually(ctx, returned).Should(BeClosed())
	g.Expect(received).NotTo(HaveOccurred())
}

func TestStartBlockedTellsOfACallThatDoesNotWait(t *testing.T) {
	_, err := sock.StartBlocked(t.Context(), func() {})
	NewWithT(t).Expect(err).To(MatchError(sock.ErrDidNotWait))
}

func TestShutdownNumberedReturnsWhatTheKernelSays(t *testing.T) {
	g := NewWithT(t)
	s, err := sock.New(sock.TCP, sock.IPv4)
	g.Expect(err).NotTo(HaveOccurred())
	defer s.Close()
	g.Expect(s.ShutdownNumbered(99)).To(MatchError(syscall.EINVAL))
}
