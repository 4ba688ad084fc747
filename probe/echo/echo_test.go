package echo_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/netip"
	"runtime"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/loopcheck/loopcheck/probe/echo"
)

// patience bounds what has to happen at once on loopback.
const patience = 10 * time.Second

var v4, v6 = netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()

// leakless fails the test when a goroutine outlives it.
func leakless(t *testing.T) *WithT {
	t.Helper()
	g := NewWithT(t)
	before := gleak.Goroutines()
	t.Cleanup(func() {
		g.Eventually(gleak.Goroutines).WithTimeout(patience).ShouldNot(gleak.HaveLeaked(before))
	})
	return g
}

func dial(t *testing.T, network string, addr netip.AddrPort) net.Conn {
	t.Helper()
	conn, err := net.DialTimeout(network, addr.String(), patience)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func eachAddress(t *testing.T, body func(*testing.T, netip.Addr)) {
	for _, addr := range []netip.Addr{v4, v6} {
		t.Run(addr.String(), func(t *testing.T) {
			probe, err := net.ListenPacket("udp", netip.AddrPortFrom(addr, 0).String())
			if err != nil {
				t.Skipf("no %s here: %v", addr, err)
			}
			probe.Close()
			body(t, addr)
		})
	}
}

func TestTCPEchoesMoreThanItsBufferUntilTheEnd(t *testing.T) {
	eachAddress(t, func(t *testing.T, addr netip.Addr) {
		g := leakless(t)
		server, err := echo.TCP(t.Context(), addr)
		g.Expect(err).NotTo(HaveOccurred())
		conn := dial(t, "tcp", server.Addr())
		sent := bytes.Repeat([]byte("0123456789abcdef"), 4096)
		go func() {
			_, _ = conn.Write(sent)
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		received, err := io.ReadAll(conn)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(bytes.Equal(received, sent)).To(BeTrue())
		g.Expect(server.Close()).To(Succeed())
		g.Expect(server.Close()).To(Succeed(), "closing again does nothing")
	})
}

func TestUDPEchoesEveryDatagramWhole(t *testing.T) {
	eachAddress(t, func(t *testing.T, addr netip.Addr) {
		g := leakless(t)
		server, err := echo.UDP(t.Context(), addr)
		g.Expect(err).NotTo(HaveOccurred())
		conn := dial(t, "udp", server.Addr())
		buf := make([]byte, 1<<16)
		for _, size := range []int{1, 0, 1400, 9000} {
			sent := bytes.Repeat([]byte{byte(size)}, size)
			_, err := conn.Write(sent)
			g.Expect(err).NotTo(HaveOccurred())
			n, err := conn.Read(buf)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(buf[:n]).To(Equal(sent))
		}
		g.Expect(server.Close()).To(Succeed())
	})
}

// apart is an address at which nobody else is given a port that was let go: on Linux
// all of 127/8 can be bound.
func apart() netip.Addr {
	if runtime.GOOS == "linux" {
		return netip.AddrFrom4([4]byte{127, 91, 82, 73})
	}
	return v4
}

func TestCloseEndsIdleConnections(t *testing.T) {
	g := leakless(t)
	server, err := echo.TCP(t.Context(), apart())
	g.Expect(err).NotTo(HaveOccurred())
	conn := dial(t, "tcp", server.Addr())
	// The server has accepted the connection when it has echoed something.
	_, err = conn.Write([]byte("x"))
	g.Expect(err).NotTo(HaveOccurred())
	_, err = conn.Read(make([]byte, 1))
	g.Expect(err).NotTo(HaveOccurred())

	g.Expect(server.Close()).To(Succeed())
	_, err = conn.Read(make([]byte, 1))
	g.Expect(err).To(MatchError(io.EOF))
	_, err = net.DialTimeout("tcp", server.Addr().String(), patience)
	g.Expect(err).To(HaveOccurred(), "nothing listens any more")
}

func TestContextEndsTheServer(t *testing.T) {
	for network, serve := range map[string]func(context.Context, netip.Addr) (*echo.Server, error){
		"tcp": echo.TCP, "udp": echo.UDP,
	} {
		t.Run(network, func(t *testing.T) {
			g := leakless(t)
			ctx, cancel := context.WithCancel(t.Context())
			server, err := serve(ctx, v4)
			g.Expect(err).NotTo(HaveOccurred())
			// leakless then sees that all of it has gone without Close.
			cancel()
			g.Eventually(gleak.Goroutines).WithTimeout(patience).
				ShouldNot(ContainElement(WithTransform(gleak.Goroutine.String, ContainSubstring("probe/echo.(*Server)"))))
			g.Expect(server.Close()).To(Succeed())
		})
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	g := leakless(t)
	for _, addr := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified(), {}} {
		_, err := echo.TCP(t.Context(), addr)
		g.Expect(err).To(MatchError(ContainSubstring("not a loopback address")))
		_, err = echo.UDP(t.Context(), addr)
		g.Expect(err).To(MatchError(ContainSubstring("not a loopback address")))
	}
}

func TestGivenPortIsServedByOneAtATime(t *testing.T) {
	for network, serve := range map[string]func(context.Context, netip.AddrPort) (*echo.Server, error){
		"tcp": echo.TCPAt, "udp": echo.UDPAt,
	} {
		t.Run(network, func(t *testing.T) {
			g := leakless(t)
			first, err := serve(t.Context(), netip.AddrPortFrom(apart(), 0))
			g.Expect(err).NotTo(HaveOccurred())
			_, err = serve(t.Context(), first.Addr())
			g.Expect(err).To(MatchError(ContainSubstring(first.Addr().String())))
			g.Expect(first.Close()).To(Succeed())
			second, err := serve(t.Context(), first.Addr())
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(second.Addr()).To(Equal(first.Addr()))
			g.Expect(second.Close()).To(Succeed())
		})
	}
}
