package sock_test

import (
	"bytes"
	"errors"
	"net/netip"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestMessageTellsWhereItWasSentTo(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	receiver := open(t, sock.UDP, sock.IPv4)
	lo, err := receiver.InterfaceNumber("lo")
	g.Expect(err).NotTo(HaveOccurred())
	if err := receiver.BindToDevice("lo"); errors.Is(err, syscall.EPERM) {
		t.Skipf("this kernel asks for CAP_NET_RAW: %v", err)
	}
	g.Expect(receiver.Set(sock.PacketInfo, 1)).To(Succeed())
	g.Expect(receiver.Bind(netip.MustParseAddrPort("0.0.0.0:0"))).To(Succeed())
	addr, err := receiver.LocalAddr()
	g.Expect(err).NotTo(HaveOccurred())

	sender, _ := bound(t, sock.UDP, sock.IPv4)
	here, there := netip.MustParseAddr("127.3.3.3"), netip.MustParseAddr("127.9.9.9")
	g.Expect(sender.SendTo(ctx, []byte("hello"), netip.AddrPortFrom(there, addr.Port()), 0)).To(Equal(5))
	m, err := receiver.RecvMessage(ctx, make([]byte, 16))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m.Bytes).To(Equal(5))
	g.Expect(m.Destination).To(Equal(there))
	g.Expect(m.Interface).To(Equal(lo))
	g.Expect(m.Dropped).To(BeZero())

	g.Expect(receiver.SendFrom(ctx, []byte("back"), here, m.From)).To(Equal(4))
	_, from, err := sender.RecvFrom(ctx, make([]byte, 16), 0)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(from).To(Equal(netip.AddrPortFrom(here, addr.Port())))

	_, err = receiver.InterfaceNumber("nosuchdevice")
	g.Expect(err).To(MatchError(syscall.ENODEV))
}

func TestMessageOfIPv6TellsWhereItWasSentTo(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	receiver, addr := bound(t, sock.UDP, sock.IPv6)
	g.Expect(receiver.Set(sock.V6PacketInfo, 1)).To(Succeed())
	sender, from := bound(t, sock.UDP, sock.IPv6)
	g.Expect(sender.SendTo(ctx, nil, addr, 0)).To(BeZero())
	m, err := receiver.RecvMessage(ctx, nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(m.From).To(Equal(from))
	g.Expect(m.Destination).To(Equal(addr.Addr()))
	g.Expect(m.Interface).NotTo(BeZero())
}

func TestForgedDatagramWithTheRightChecksumArrives(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	receiver, to := bound(t, sock.UDP, sock.IPv4)
	_, from := bound(t, sock.UDP, sock.IPv4)
	for _, payload := range []string{"even", "odd"} {
		err := sock.ForgeUDP(from, to, []byte(payload), func(right uint16) uint16 { return right })
		if errors.Is(err, syscall.EPERM) {
			t.Skipf("raw sockets are refused: %v", err)
		}
		g.Expect(err).NotTo(HaveOccurred())
		p := make([]byte, 16)
		n, sender, err := receiver.RecvFrom(ctx, p, 0)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Equal(p[:n], []byte(payload))).To(BeTrue())
		g.Expect(sender).To(Equal(from))
	}
}

func TestGroupIsReachedOverItsInterface(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	receiver, sender := open(t, sock.UDP, sock.IPv4), open(t, sock.UDP, sock.IPv4)
	lo, err := receiver.InterfaceNumber("lo")
	g.Expect(err).NotTo(HaveOccurred())
	group := netip.MustParseAddr("239.255.77.77")
	g.Expect(receiver.Bind(netip.AddrPortFrom(group, 0))).To(Succeed())
	addr, err := receiver.LocalAddr()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(receiver.JoinGroup(group, lo)).To(Succeed())
	g.Expect(receiver.JoinGroup(group, lo)).To(MatchError(syscall.EADDRINUSE))
	g.Expect(sender.SetMulticastInterface(lo, sock.IPv4.Loopback(0).Addr())).To(Succeed())
	g.Expect(sender.SendTo(ctx, []byte("all"), addr, 0)).To(Equal(3))
	g.Expect(receiver.Recv(ctx, make([]byte, 8), 0)).To(Equal(3))
}

func TestNumbersThatTheKernelDoesNotKnow(t *testing.T) {
	g := NewWithT(t)
	g.Expect(sock.TrySocket(syscall.AF_INET, syscall.SOCK_STREAM, 0)).To(Succeed())
	g.Expect(sock.TrySocket(255, syscall.SOCK_STREAM, 0)).To(MatchError(syscall.EAFNOSUPPORT))
	g.Expect(sock.TrySocketPair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)).To(Succeed())
	g.Expect(sock.TrySocketPair(syscall.AF_INET, syscall.SOCK_STREAM, 0)).To(MatchError(syscall.EOPNOTSUPP))
	s := open(t, sock.TCP, sock.IPv4)
	g.Expect(s.SetNumbered(syscall.IPPROTO_TCP, 9999, 1)).To(MatchError(syscall.ENOPROTOOPT))
	_, err := s.GetNumbered(syscall.IPPROTO_TCP, 9999)
	g.Expect(err).To(MatchError(syscall.ENOPROTOOPT))
	name, err := s.CongestionControl()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(s.SetCongestionControl(name)).To(Succeed(), "the algorithm that it has")
}
