package tcp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("delivers what was sent before the FIN, and then its end to every read", check.Check{
	ID: "TCP-051", Grade: check.GradeFail,
	Source: "RFC 9293 3.6 (closing a connection); recv(2), return value",
	Asks:   "Sends a few bytes, closes, and reads at the other end: the bytes, then the end of the stream, three times over.",
	Why:    "Programs know by it that a message is whole and that nothing follows. Where the FIN is lost, readers wait for ever on connections that are long over and hold their descriptors.",
	Causes: []string{
		"a firewall drops FIN segments, or forgets connections and then drops what is left of them",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see connections that hang half closed: `ss -tan state fin-wait-1 state fin-wait-2 state close-wait`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joinedConns(deadline, listenConn())
	sent := []byte("the last words")
	Expect(client.Write(sent)).To(Equal(len(sent)), "bytes sent before the FIN")
	Expect(client.Close()).To(Succeed())

	received, err := io.ReadAll(server)
	Expect(err).NotTo(HaveOccurred(), "what %v sent before its FIN, and its end, after %q", client.LocalAddr(), received)
	Expect(string(received)).To(Equal(string(sent)), "what %v sent before its FIN", client.LocalAddr())
	const again = 3
	for try := range again {
		n, err := server.Read(make([]byte, 1))
		Expect(err).To(MatchError(io.EOF), "read %d after the end of the stream from %v", try+1, client.LocalAddr())
		Expect(n).To(BeZero(), "bytes of read %d after the end of the stream from %v", try+1, client.LocalAddr())
	}
	spec.Evidence("read", "%d bytes, then the end of the stream, on %d more reads as well", len(received), again)
})

var _ = suite.It("ends one direction of a connection and keeps the other open", check.Check{
	ID: "TCP-052", Grade: check.GradeFail,
	Source: "RFC 9293 3.6 (half-closed connections); shutdown(2); send(2), EPIPE",
	Asks:   "Shuts down the sending side of a client. The server must read the end of the stream and can still send; the client receives that, and its own next write fails, with EPIPE but on Windows.",
	Why:    "Protocols that answer after the request has ended (HTTP/1.0, rsync, `ssh host tar`, netcat) lose the answer where a half-closed connection is treated as closed.",
	Causes: []string{
		"a firewall, load balancer or user-space stack ends a connection at the first FIN",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joinedConns(deadline, listenConn())
	Expect(client.CloseWrite()).To(Succeed())
	_, err := server.Read(make([]byte, 1))
	Expect(err).To(MatchError(io.EOF), "what the server reads after the client's FIN, from %v", client.LocalAddr())

	answer := []byte("an answer after the end of the question")
	Expect(server.Write(answer)).To(Equal(len(answer)), "bytes that the server sends after the client's FIN")
	Expect(server.Close()).To(Succeed())
	received, err := io.ReadAll(client)
	Expect(err).NotTo(HaveOccurred(), "what the client reads from %v after its own FIN", server.LocalAddr())
	Expect(string(received)).To(Equal(string(answer)), "what the client reads from %v after its own FIN", server.LocalAddr())

	_, err = client.Write([]byte("x"))
	Expect(err).To(HaveOccurred(), "the client's write to %v after its own FIN", server.LocalAddr())
	if runtime.GOOS != "windows" {
		Expect(err).To(MatchError(syscall.EPIPE), "the client's write to %v after its own FIN", server.LocalAddr())
	}
	spec.Evidence("half-close", "the server read the end, the client received %d bytes after it, its own write failed: %s", len(received), reason(err))
})

var _ = suite.It("resets a connection that is closed with data unread", check.Check{
	ID: "TCP-054", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 2525 2.17; RFC 9293 3.6.1; recv(2), ECONNRESET; send(2), EPIPE",
	Asks:   "Sends bytes to a peer that closes without having read them. The sender's next read must give ECONNRESET, the one after it 0, and a write EPIPE.",
	Why:    "It is how a sender learns that its request was thrown away. With a FIN in its place the request looks delivered; with nothing at all the sender waits until its own timeout.",
	Causes: []string{
		"a firewall drops RST segments",
		"a proxy or user-space stack stands between the two ends and closes in the ordinary way",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see whether resets are sent: `nstat -az TcpOutRsts TcpExtTCPAbortOnClose`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	unread := []byte("nobody reads this")
	peer, err := client.PeerAddr()
	Expect(err).NotTo(HaveOccurred())
	Expect(client.Send(deadline, unread, 0)).To(Equal(len(unread)), "bytes sent to %v to be left unread", peer)
	_, err = server.Poll(deadline, sock.Readable)
	Expect(err).NotTo(HaveOccurred(), "the bytes that %v is to leave unread", peer)
	Expect(server.Close()).To(Succeed())

	_, first := client.Recv(deadline, make([]byte, 1), 0)
	Expect(first).To(MatchError(syscall.ECONNRESET), "the first read after %v closed with data unread", peer)
	n, err := client.Recv(deadline, make([]byte, 1), 0)
	Expect(err).NotTo(HaveOccurred(), "the second read after %v closed with data unread", peer)
	Expect(n).To(BeZero(), "bytes of the second read after %v closed with data unread", peer)
	_, write := client.Send(deadline, []byte("x"), 0)
	Expect(write).To(MatchError(syscall.EPIPE), "a write after the reset from %v", peer)
	spec.Evidence("reset", "first read: %s; second read: %d; write: %s", reason(first), n, reason(write))
})

var _ = suite.It("aborts with RST and keeps no TIME_WAIT when SO_LINGER is {1,0}", check.Check{
	ID: "TCP-056", Grade: check.GradeFail, OS: "linux",
	Source: "socket(7), SO_LINGER; RFC 9293 3.10.5 (ABORT); Documentation/networking/snmp_counter.rst, TCPAbortOnData",
	Asks:   "Closes a connection whose SO_LINGER is {1,0}. The peer must read ECONNRESET, TcpExt TCPAbortOnData must grow, and the port that was closed must be free at once: it is bound again without SO_REUSEADDR.",
	Why:    "Load generators and servers under attack close so, to spare the ports and the memory that TIME_WAIT takes. Where it does not hold they run out of ephemeral ports after some 28,000 connections a minute.",
	Causes: []string{
		"a firewall drops RST segments, so that the peer keeps a dead connection",
		"a user-space stack or sandbox that knows no SO_LINGER",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see what waits: `ss -tan state time-wait`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	before := spec.Snapshot()
	client, port := bound()
	server := join(deadline, client)
	Expect(abort(client)).To(Succeed())

	_, err := server.Recv(deadline, make([]byte, 1), 0)
	Expect(err).To(MatchError(syscall.ECONNRESET), "what the peer reads after the abort of %v", port)
	aborted, counted := spec.Snapshot().Sub(before).Get("TcpExt", "TCPAbortOnData")
	Expect(counted).NotTo(HaveOccurred())
	Expect(aborted).To(BeNumerically(">=", 1), "growth of TcpExt TCPAbortOnData")

	Expect(freeAgain(deadline, port, abort)).To(Succeed(), "bind the port of an aborted connection again")
	spec.Evidence("abort", "the peer read %s, TCPAbortOnData grew by %d, port %d was free at once", reason(syscall.ECONNRESET), aborted, port.Port())
})

// abort closes with the RST that SO_LINGER {1,0} asks for.
func abort(s *sock.Socket) error {
	return errors.Join(s.SetLinger(0), s.Close())
}

// freeAgain binds the port of a connection that its client has just closed,
// without SO_REUSEADDR, and fails where that is refused. Another process may
// have taken the port in the meantime, which looks the same as TIME_WAIT, so
// it asks again with a few connections more, closed by the function given.
func freeAgain(ctx context.Context, port netip.AddrPort, end func(*sock.Socket) error) error {
	const tries = 4
	for try := 1; ; try++ {
		err := bindOnce(port)
		if !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
		if try == tries {
			return fmt.Errorf("the ports of %d closed connections are still in use, as if in TIME_WAIT: %w", tries, err)
		}
		if port, err = closedPort(ctx, end); err != nil {
			return err
		}
	}
}

func bindOnce(port netip.AddrPort) error {
	s, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return err
	}
	defer s.Close()
	return s.Bind(port)
}

// closedPort makes a connection, has its client end it, and returns the
// client's address.
func closedPort(ctx context.Context, end func(*sock.Socket) error) (netip.AddrPort, error) {
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer client.Close()
	server, err := accepted(ctx, client)
	if err != nil {
		return netip.AddrPort{}, err
	}
	defer server.Close()
	port, err := client.LocalAddr()
	return port, errors.Join(err, end(client))
}

// reason is the kernel's own word in an error.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno.Error()
	}
	return err.Error()
}
