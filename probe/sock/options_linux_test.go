package sock_test

import (
	"errors"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestReuseAddrSharesAPortUntilOneListens(t *testing.T) {
	eachFamily(t, func(t *testing.T, family sock.Family) {
		g := NewWithT(t)
		sharing := func() *sock.Socket {
			s := open(t, sock.TCP, family)
			g.Expect(s.SetReuseAddr()).To(Succeed())
			return s
		}
		_, taken := bound(t, sock.TCP, family)
		g.Expect(sharing().Bind(taken)).To(MatchError(syscall.EADDRINUSE), "the other socket lacks the option")

		first, second := sharing(), sharing()
		g.Expect(first.Bind(family.Loopback(0))).To(Succeed())
		addr, err := first.LocalAddr()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(second.Bind(addr)).To(Succeed())
		g.Expect(first.Listen(1)).To(Succeed())
		g.Expect(sharing().Bind(addr)).To(MatchError(syscall.EADDRINUSE))
	})
}

func TestSocketBoundToLoIsReachedOverIt(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	onLo := open(t, sock.TCP, sock.IPv4)
	err := onLo.BindToDevice("lo")
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("this kernel asks for CAP_NET_RAW: %v", err)
	}
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(onLo.Bind(sock.IPv4.Loopback(0))).To(Succeed())
	g.Expect(onLo.Listen(1)).To(Succeed())
	addr, err := onLo.LocalAddr()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(open(t, sock.TCP, sock.IPv4).Connect(ctx, addr)).To(Succeed())

	err = open(t, sock.TCP, sock.IPv4).BindToDevice("nosuchdevice")
	g.Expect(err).To(MatchError(syscall.ENODEV))
	g.Expect(err).To(MatchError(ContainSubstring("nosuchdevice")))
}
