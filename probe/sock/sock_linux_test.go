package sock_test

import (
	"context"
	"errors"
	"net/netip"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// patience bounds what has to happen at once on loopback.
const patience = 10 * time.Second

func open(t *testing.T, kind sock.Kind, family sock.Family) *sock.Socket {
	t.Helper()
	s, err := sock.New(kind, family)
	if errors.Is(err, syscall.EAFNOSUPPORT) {
		t.Skipf("no %s here: %v", family, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func bound(t *testing.T, kind sock.Kind, family sock.Family) (*sock.Socket, netip.AddrPort) {
	t.Helper()
	s := open(t, kind, family)
	err := s.Bind(family.Loopback(0))
	if errors.Is(err, syscall.EADDRNOTAVAIL) {
		t.Skipf("no %s here: %v", family, err)
	}
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	return s, addr
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func eachFamily(t *testing.T, body func(*testing.T, sock.Family)) {
	for _, family := range []sock.Family{sock.IPv4, sock.IPv6} {
		t.Run(family.String(), func(t *testing.T) { body(t, family) })
	}
}

func TestStreamCarriesBytesAndItsEnd(t *testing.T) {
	eachFamily(t, func(t *testing.T, family sock.Family) {
		g, ctx := NewWithT(t), bounded(t)
		listener, addr := bound(t, sock.TCP, family)
		g.Expect(listener.Listen(1)).To(Succeed())

		client := open(t, sock.TCP, family)
		g.Expect(client.Connect(ctx, addr)).To(Succeed())
		server, err := listener.Accept(ctx)
		g.Expect(err).NotTo(HaveOccurred())
		defer server.Close()
		g.Expect(client.PeerAddr()).To(Equal(addr))
		clientAddr, err := client.LocalAddr()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(server.PeerAddr()).To(Equal(clientAddr))
		info, err := client.TCPInfo()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(info.State).To(Equal(sock.Established))

		g.Expect(client.Send(ctx, []byte("hello"), 0)).To(Equal(5))
		g.Expect(client.Shutdown(sock.Write)).To(Succeed())
		buf := make([]byte, 16)
		n, err := server.Recv(ctx, buf, sock.Peek)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(buf[:n])).To(Equal("hello"))
		g.Expect(server.Recv(ctx, buf, 0)).To(Equal(5), "what was peeked at is still there")
		events, err := server.Poll(ctx, sock.PeerClosed)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(events & sock.PeerClosed).NotTo(BeZero())
		g.Expect(server.Recv(ctx, buf, 0)).To(BeZero())
	})
}

func TestDatagramKeepsItsSenderAndLength(t *testing.T) {
	eachFamily(t, func(t *testing.T, family sock.Family) {
		g, ctx := NewWithT(t), bounded(t)
		receiver, addr := bound(t, sock.UDP, family)
		sender, from := bound(t, sock.UDP, family)
		for _, payload := range []string{"", "0123456789"} {
			g.Expect(sender.SendTo(ctx, []byte(payload), addr, 0)).To(Equal(len(payload)))
		}
		buf := make([]byte, 4)
		n, seen, err := receiver.RecvFrom(ctx, buf, 0)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(n).To(BeZero())
		g.Expect(seen).To(Equal(from))
		g.Expect(receiver.Recv(ctx, buf, sock.Truncate)).To(Equal(10))
		g.Expect(receiver.ReceiveBuffer()).To(BeNumerically(">", 0))
	})
}

func TestRefusalIsAnErrno(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	_, closed := bound(t, sock.TCP, sock.IPv4)
	client := open(t, sock.TCP, sock.IPv4)
	err := client.Connect(ctx, closed)
	g.Expect(err).To(MatchError(syscall.ECONNREFUSED))
	g.Expect(err).To(MatchError(ContainSubstring(closed.String())))

	client = open(t, sock.TCP, sock.IPv4)
	g.Expect(client.StartConnect(closed)).To(MatchError(syscall.EINPROGRESS))
	events, err := client.Poll(ctx, sock.Writable)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(events & sock.Failed).NotTo(BeZero())
	g.Expect(client.PendingError()).To(MatchError(syscall.ECONNREFUSED))
	g.Expect(client.PendingError()).To(Succeed(), "reading the error clears it")

	again, _ := bound(t, sock.TCP, sock.IPv4)
	g.Expect(again.Bind(closed)).To(MatchError(syscall.EINVAL), "bound already")
	g.Expect(open(t, sock.TCP, sock.IPv4).Bind(closed)).To(MatchError(syscall.EADDRINUSE))
}

// Each operation is asked where it would wait for ever.
func waiters(t *testing.T) map[string]func(context.Context) error {
	t.Helper()
	ctx := bounded(t)
	listener, addr := bound(t, sock.TCP, sock.IPv4)
	if err := listener.Listen(1); err != nil {
		t.Fatal(err)
	}
	client := open(t, sock.TCP, sock.IPv4)
	if err := client.Connect(ctx, addr); err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	return map[string]func(context.Context) error{
		"accept":  func(ctx context.Context) error { _, err := listener.Accept(ctx); return err },
		"receive": func(ctx context.Context) error { _, err := server.Recv(ctx, make([]byte, 1), 0); return err },
		"poll":    func(ctx context.Context) error { _, err := server.Poll(ctx, 0); return err },
		"send": func(ctx context.Context) error {
			for {
				if _, err := server.Send(ctx, make([]byte, 1<<16), 0); err != nil {
					return err
				}
			}
		},
	}
}

func TestDeadlineEndsAWait(t *testing.T) {
	for name, wait := range waiters(t) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
			defer cancel()
			NewWithT(t).Expect(wait(ctx)).To(MatchError(context.DeadlineExceeded))
		})
	}
}

func TestCancellationEndsAWait(t *testing.T) {
	for name, wait := range waiters(t) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan error, 1)
			go func() { ended <- wait(ctx) }()
			cancel()
			NewWithT(t).Eventually(ended).WithTimeout(patience).Should(Receive(MatchError(context.Canceled)))
		})
	}
}

func TestZeroLingerResets(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	listener, addr := bound(t, sock.TCP, sock.IPv4)
	g.Expect(listener.Listen(1)).To(Succeed())
	client := open(t, sock.TCP, sock.IPv4)
	g.Expect(client.Connect(ctx, addr)).To(Succeed())
	server, err := listener.Accept(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	defer server.Close()
	g.Expect(client.SetLinger(0)).To(Succeed())
	g.Expect(client.Close()).To(Succeed())
	g.Expect(client.Close()).To(Succeed(), "closing again does nothing")
	_, err = server.Recv(ctx, make([]byte, 1), 0)
	g.Expect(err).To(MatchError(syscall.ECONNRESET))
}

func TestListenerTellsItsQueue(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	listener, addr := bound(t, sock.TCP, sock.IPv4)
	g.Expect(listener.Listen(2)).To(Succeed())
	client := open(t, sock.TCP, sock.IPv4)
	g.Expect(client.Connect(ctx, addr)).To(Succeed())
	g.Eventually(listener.TCPInfo).WithTimeout(patience).
		Should(And(HaveField("State", sock.Listening), HaveField("Unacked", uint32(1)), HaveField("Sacked", uint32(2))))
}

func TestDescriptorsAreCounted(t *testing.T) {
	g := NewWithT(t)
	before, err := sock.FreeDescriptors()
	g.Expect(err).NotTo(HaveOccurred())
	for range 10 {
		open(t, sock.UDP, sock.IPv4)
	}
	g.Expect(sock.FreeDescriptors()).To(Equal(before - 10))
}

func TestClosedSocketIsRefused(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	s, _ := bound(t, sock.UDP, sock.IPv4)
	g.Expect(s.Close()).To(Succeed())
	_, err := s.Recv(ctx, make([]byte, 1), 0)
	g.Expect(err).To(MatchError(syscall.EBADF))
	_, err = s.LocalAddr()
	g.Expect(err).To(MatchError(syscall.EBADF))
}
