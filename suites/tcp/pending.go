package tcp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("does not finish a nonblocking connect at once, over loopback either", check.Check{
	ID: "TCP-002", Grade: check.GradeFail, OS: "linux",
	Source: "connect(2), EINPROGRESS",
	Asks:   "Connects a nonblocking socket to a listener on 127.0.0.1. The call must return EINPROGRESS, poll report the socket writable, and SO_ERROR be 0 then.",
	Why:    "Event loops (Go, Node.js, nginx, libuv, Tokio) wait for a connection as connect(2) tells them to. Many treat success at once as a case that never comes, and one that says EAGAIN as a failure.",
	Causes: []string{
		spec.OtherStack,
		"a library put before the program (LD_PRELOAD: proxychains, tsocks) that connects in the program's place and waits for it",
	},
	Remedies: []string{
		spec.OwnStack,
		"see what is put before programs: `cat /etc/ld.so.preload`, `echo $LD_PRELOAD`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	_, addr := listening(8)
	client := open()
	started := client.StartConnect(addr)
	Expect(started).To(MatchError(syscall.EINPROGRESS), "a nonblocking connect to %v", addr)
	events, err := client.Poll(deadline, sock.Writable)
	Expect(err).NotTo(HaveOccurred(), "the connection to %v", addr)
	Expect(client.PendingError()).To(Succeed(), "SO_ERROR of the connection to %v", addr)
	spec.Evidence("connect", "%s, then %s", reason(started), events)
})

var _ = suite.It("reports a refused connection by SO_ERROR, and by ECONNABORTED to one connect more", check.Check{
	ID: "TCP-003", Grade: check.GradeFail, OS: "linux",
	Source: "connect(2); socket(7), SO_ERROR; gVisor, test/syscalls NonBlockingConnectNoListener",
	Asks:   "Connects a nonblocking socket to a closed port, waits, and reads SO_ERROR, which must be ECONNREFUSED and then 0. The next connect on the socket must give ECONNABORTED, as nobody told it of the refusal, and the one after it begin anew with EINPROGRESS.",
	Why:    "Programs that try again on the same socket take that answer for the result of the attempt before. With anything else they count a refusal twice, or believe in a connection that is not there.",
	Causes: []string{
		"a firewall drops SYNs to closed ports, or the RST that answers them",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	_, closed := bound()
	client := open()
	Expect(client.StartConnect(closed)).To(MatchError(syscall.EINPROGRESS), "a nonblocking connect to closed port %v", closed)
	_, err := client.Poll(deadline, 0)
	Expect(err).NotTo(HaveOccurred(), "the refusal of closed port %v", closed)
	refused := client.PendingError()
	Expect(refused).To(MatchError(syscall.ECONNREFUSED), "SO_ERROR after closed port %v refused", closed)
	Expect(client.PendingError()).To(Succeed(), "SO_ERROR once more, after it was read")
	again := client.StartConnect(closed)
	Expect(again).To(MatchError(syscall.ECONNABORTED), "connect after SO_ERROR was read")
	Expect(client.StartConnect(closed)).To(MatchError(syscall.EINPROGRESS), "connect after ECONNABORTED")
	spec.Evidence("refused connection", "SO_ERROR: %s; connect: %s; connect: %s", reason(refused), reason(again), syscall.EINPROGRESS)
})

var _ = suite.It("tells a connect under way with EALREADY, and one that is through once with 0 and then with EISCONN", check.Check{
	ID: "TCP-004", Grade: check.GradeFail, OS: "linux",
	Source: "connect(2), EALREADY, EISCONN; gVisor, test/syscalls NonBlockingConnectRemoteClose",
	Asks:   "Connects a nonblocking socket to a listener whose queue is full, and once more while that is under way: EALREADY. Connects another to a listener that has room, waits until it is through, and connects once more, which must succeed, and again, which must give EISCONN.",
	Why:    "Older event loops and many C libraries learn whether a connection is through by calling connect again. Told otherwise, they wait for ever or open a second connection.",
	Causes: []string{
		"a firewall limits or rejects new connections on loopback, so that none is left waiting",
		spec.OtherStack,
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		spec.OwnStack,
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	full, busy := listening(1)
	clients, err := crowd(deadline, full, busy)
	for _, c := range clients {
		DeferCleanup(c.Close)
	}
	Expect(err).NotTo(HaveOccurred())
	waiting := open()
	Expect(waiting.StartConnect(busy)).To(MatchError(syscall.EINPROGRESS), "a connect to %v, whose queue is full", busy)
	already := waiting.StartConnect(busy)
	Expect(already).To(MatchError(syscall.EALREADY), "connect once more, while the first to %v is under way", busy)

	_, addr := listening(8)
	client := open()
	Expect(client.StartConnect(addr)).To(MatchError(syscall.EINPROGRESS), "a nonblocking connect to %v", addr)
	_, err = client.Poll(deadline, sock.Writable)
	Expect(err).NotTo(HaveOccurred(), "the connection to %v", addr)
	Expect(client.StartConnect(addr)).To(Succeed(), "connect once more, after the one to %v was through", addr)
	connected := client.StartConnect(addr)
	Expect(connected).To(MatchError(syscall.EISCONN), "connect a third time to %v", addr)
	spec.Evidence("connect again", "under way: %s; through: taken, then %s", reason(already), reason(connected))
})

// crowd connects as many clients to a listener as its queue takes, waits until
// all stand in it, and returns them.
func crowd(ctx context.Context, listener *sock.Socket, addr netip.AddrPort) (clients []*sock.Socket, err error) {
	info, err := listener.TCPInfo()
	if err != nil {
		return nil, err
	}
	room := info.Sacked + 1 // the backlog in force, and one more
	for n := range room {
		client, err := sock.New(sock.TCP, sock.IPv4)
		if err != nil {
			return clients, err
		}
		clients = append(clients, client)
		if err := client.Connect(ctx, addr); err != nil {
			return clients, fmt.Errorf("connection %d of %d that the queue of %v has room for: %w", n+1, room, addr, err)
		}
		// The client is through a moment before its connection is in the queue.
		if err := queued(ctx, listener, n+1); err != nil {
			return clients, fmt.Errorf("connection %d of %d that the queue of %v has room for: %w", n+1, room, addr, err)
		}
	}
	return clients, nil
}

// fullQueue returns the address of a listener whose queue is full, for use in a
// sandbox. Done closes it and the clients in the queue, whatever the error.
func fullQueue(ctx context.Context) (addr netip.AddrPort, done func(), err error) {
	listener, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return addr, func() {}, err
	}
	var clients []*sock.Socket
	done = func() {
		for _, c := range clients {
			_ = c.Close() // it was not used
		}
		_ = listener.Close()
	}
	if err := errors.Join(listener.Bind(sock.IPv4.Loopback(0)), listener.Listen(1)); err != nil {
		return addr, done, err
	}
	if addr, err = listener.LocalAddr(); err != nil {
		return addr, done, err
	}
	clients, err = crowd(ctx, listener, addr)
	return addr, done, err
}

// queued waits until that many connections wait to be accepted.
func queued(ctx context.Context, listener *sock.Socket, count uint32) error {
	for {
		info, err := listener.TCPInfo()
		if err != nil || info.Unacked == count {
			return err
		}
		// Poll returns at once where something is in the queue already.
		if _, err := listener.Poll(ctx, sock.Readable); err != nil {
			return fmt.Errorf("%d wait to be accepted and not %d: %w", info.Unacked, count, err)
		}
	}
}
