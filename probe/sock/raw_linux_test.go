package sock_test

import (
	"errors"
	"net/netip"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestRawSocketReceivesWhatAnotherSends(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	const experimental = 254 // RFC 3692 2.1
	receiver, err := sock.NewRaw(sock.IPv4, experimental)
	if errors.Is(err, syscall.EPERM) {
		t.Skipf("raw sockets are refused: %v", err)
	}
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { receiver.Close() })
	sender, err := sock.NewRaw(sock.IPv4, experimental)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { sender.Close() })
	here, there := netip.MustParseAddrPort("127.3.3.3:0"), netip.MustParseAddrPort("127.9.9.9:0")
	g.Expect(receiver.Bind(there)).To(Succeed())
	g.Expect(sender.Bind(here)).To(Succeed())
	g.Expect(sender.SendTo(ctx, []byte("hello"), there, 0)).To(Equal(5))
	p := make([]byte, 64)
	n, from, err := receiver.RecvFrom(ctx, p, 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(from).To(Equal(here))
	g.Expect(string(p[20:n])).To(Equal("hello"), "behind the header of IPv4")
}

func TestRawSocketNeedsAProtocol(t *testing.T) {
	_, err := sock.New(sock.Raw, sock.IPv4)
	NewWithT(t).Expect(err).To(MatchError(syscall.EPROTONOSUPPORT))
}

func TestPingSocketHasItsIdentifierAsPort(t *testing.T) {
	s, err := sock.New(sock.Ping, sock.IPv4)
	if errors.Is(err, syscall.EACCES) {
		t.Skipf("ping sockets are refused: %v", err)
	}
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { s.Close() })
	g.Expect(s.Bind(sock.IPv4.Loopback(0))).To(Succeed())
	addr, err := s.LocalAddr()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(addr.Port()).NotTo(BeZero())
}
