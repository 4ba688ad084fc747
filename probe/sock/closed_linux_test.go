package sock_test

import (
	"errors"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestClosedPortRefusesAndStaysTaken(t *testing.T) {
	eachFamily(t, func(t *testing.T, family sock.Family) {
		g, ctx := NewWithT(t), bounded(t)
		held, closed, err := sock.ClosedUDP(family)
		if errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT) {
			t.Skipf("no %s here: %v", family, err)
		}
		g.Expect(err).NotTo(HaveOccurred())
		t.Cleanup(func() { held.Close() })
		g.Expect(closed.Addr()).To(Equal(family.Loopback(0).Addr()))
		g.Expect(open(t, sock.UDP, family).Bind(closed)).To(MatchError(syscall.EADDRINUSE))

		client := open(t, sock.UDP, family)
		g.Expect(client.Connect(ctx, closed)).To(Succeed())
		g.Expect(client.Send(ctx, []byte("anybody?"), 0)).To(Equal(8))
		events, err := client.Poll(ctx, 0)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(events & sock.Failed).NotTo(BeZero())
		g.Expect(client.PendingError()).To(MatchError(syscall.ECONNREFUSED))
	})
}
