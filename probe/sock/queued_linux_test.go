package sock_test

import (
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestICMPErrorIsQueued(t *testing.T) {
	for family, want := range map[sock.Family]sock.ICMPError{
		// Port unreachable, in RFC 792 and in RFC 4443 3.1.
		sock.IPv4: {Type: 3, Code: 3},
		sock.IPv6: {Type: 1, Code: 4},
	} {
		t.Run(family.String(), func(t *testing.T) {
			g, ctx := NewWithT(t), bounded(t)
			// It skips the test where the family is missing.
			bound(t, sock.UDP, family)
			held, closed, err := sock.ClosedUDP(family)
			g.Expect(err).NotTo(HaveOccurred())
			t.Cleanup(func() { held.Close() })

			client := open(t, sock.UDP, family)
			g.Expect(client.QueueErrors()).To(Succeed())
			g.Expect(client.QueuedError()).To(BeNil(), "before anything was sent")
			g.Expect(client.Connect(ctx, closed)).To(Succeed())
			g.Expect(client.Send(ctx, []byte("anybody?"), 0)).To(Equal(8))
			_, err = client.Poll(ctx, 0)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(client.QueuedError()).To(HaveValue(Equal(want)))
			g.Expect(client.QueuedError()).To(BeNil(), "reading takes it")
		})
	}
}

func TestResetIsNotQueued(t *testing.T) {
	eachFamily(t, func(t *testing.T, family sock.Family) {
		g, ctx := NewWithT(t), bounded(t)
		_, closed := bound(t, sock.TCP, family)
		client := open(t, sock.TCP, family)
		g.Expect(client.QueueErrors()).To(Succeed())
		g.Expect(client.Connect(ctx, closed)).To(MatchError(syscall.ECONNREFUSED))
		g.Expect(client.QueuedError()).To(BeNil())
	})
}
