package sock_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

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

// pingPort is the port of a bound ping socket, where every group may open one.
var pingPort = sandbox.Register("sock/pingPort", func(context.Context, *sandbox.Inside, struct{}) (uint16, error) {
	if err := sysctl.Set("net.ipv4.ping_group_range", "0 0"); err != nil {
		return 0, err
	}
	s, err := sock.New(sock.Ping, sock.IPv4)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if err := s.Bind(sock.IPv4.Loopback(0)); err != nil {
		return 0, err
	}
	addr, err := s.LocalAddr()
	return addr.Port(), err
})

func TestPingSocketHasItsIdentifierAsPort(t *testing.T) {
	g := NewWithT(t)
	port, err := pingPort.Call(t.Context(), sandboxtest.Start(t, sandbox.Config{}), "", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(port).NotTo(BeZero())
}
