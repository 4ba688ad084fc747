package replay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sock"
)

const (
	// stepWait bounds each step of an exchange. Over lo a packet is delivered
	// before the call that sends it returns, so that what does not come at
	// once was dropped, and the trace has told of it; the rest is for a
	// machine whose processors are busy.
	stepWait = 100 * time.Millisecond
	// bulkBytes is more than the largest packet of lo, so that rules about
	// length are met.
	bulkBytes = 128 << 10
)

// exchange sends what checks of a protocol send to such an address, in the
// calling thread's network namespace. Steps that come to nothing are no error:
// what became of their packets is for the trace to tell.
func exchange(ctx context.Context, flow Flow) error {
	switch flow.Protocol {
	case "tcp":
		return exchangeTCP(ctx, flow.To)
	case "udp":
		return exchangeUDP(ctx, flow.To)
	case "icmp":
		return exchangePing(ctx, flow.To.Addr())
	}
	return fmt.Errorf("no exchange is known for protocol %q", flow.Protocol)
}

func familyOf(addr netip.Addr) sock.Family {
	if addr.Is6() {
		return sock.IPv6
	}
	return sock.IPv4
}

// step runs f with the time that a step has, and drops its error.
func step(ctx context.Context, f func(context.Context)) {
	ctx, cancel := context.WithTimeout(ctx, stepWait)
	defer cancel()
	f(ctx)
}

// bound opens a socket at an address.
func bound(kind sock.Kind, to netip.AddrPort) (*sock.Socket, netip.AddrPort, error) {
	s, err := sock.New(kind, familyOf(to.Addr()))
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	if err := s.Bind(to); err != nil {
		return nil, netip.AddrPort{}, errors.Join(err, s.Close())
	}
	at, err := s.LocalAddr()
	if err != nil {
		return nil, netip.AddrPort{}, errors.Join(err, s.Close())
	}
	return s, at, nil
}

// exchangeTCP is refused by a closed port, then connects, sends data both ways
// and ends with FIN, and once more with RST.
func exchangeTCP(ctx context.Context, to netip.AddrPort) error {
	listener, at, err := bound(sock.TCP, to)
	if err != nil {
		return err
	}
	defer listener.Close()
	if err := knock(ctx, at); err != nil {
		return err
	}
	if err := listener.Listen(2); err != nil {
		return err
	}
	for _, reset := range []bool{false, true} {
		if err := converse(ctx, listener, at, reset); err != nil {
			return err
		}
	}
	return nil
}

// knock asks for a connection and does not use it.
func knock(ctx context.Context, to netip.AddrPort) error {
	client, err := sock.New(sock.TCP, familyOf(to.Addr()))
	if err != nil {
		return err
	}
	step(ctx, func(ctx context.Context) { _ = client.Connect(ctx, to) })
	return client.Close()
}

func converse(ctx context.Context, listener *sock.Socket, at netip.AddrPort, reset bool) error {
	client, err := sock.New(sock.TCP, familyOf(at.Addr()))
	if err != nil {
		return err
	}
	defer client.Close()
	var server *sock.Socket
	step(ctx, func(ctx context.Context) {
		if client.Connect(ctx, at) == nil {
			server, _ = listener.Accept(ctx)
		}
	})
	if server == nil {
		return nil
	}
	defer server.Close()
	for _, direction := range [][2]*sock.Socket{{client, server}, {server, client}} {
		for _, size := range []int{1, bulkBytes} {
			step(ctx, func(ctx context.Context) { move(ctx, direction[0], direction[1], size) })
		}
	}
	if reset {
		if err := client.SetLinger(0); err != nil {
			return err
		}
	}
	if err := client.Close(); err != nil {
		return err
	}
	step(ctx, func(ctx context.Context) { _, _ = server.Recv(ctx, make([]byte, 1), 0) })
	return nil
}

// move sends that many bytes and takes what arrives.
func move(ctx context.Context, from, to *sock.Socket, size int) {
	for sent, received, data := 0, 0, make([]byte, size); received < size; {
		if sent < size {
			n, err := from.Send(ctx, data[sent:], 0)
			if err != nil {
				return
			}
			sent += n
		}
		n, err := to.Recv(ctx, data, 0)
		if err != nil || n == 0 {
			return
		}
		received += n
	}
}

// exchangeUDP is told that a port is closed, then sends datagrams there and
// back.
func exchangeUDP(ctx context.Context, to netip.AddrPort) error {
	server, at, err := bound(sock.UDP, to)
	if err != nil {
		return err
	}
	defer func() { server.Close() }()
	if err := server.Close(); err != nil {
		return err
	}
	client, err := sock.New(sock.UDP, familyOf(to.Addr()))
	if err != nil {
		return err
	}
	defer client.Close()
	// Checks send to broadcast addresses, too.
	if err := errors.Join(client.QueueErrors(), client.Set(sock.Broadcast, 1), client.StartConnect(at)); err != nil {
		return err
	}
	step(ctx, func(ctx context.Context) {
		if _, err := client.Send(ctx, []byte("anybody there"), 0); err == nil {
			_, _ = client.Poll(ctx, sock.Readable)
		}
		_, _ = client.QueuedError()
		_ = client.PendingError()
	})

	if server, _, err = bound(sock.UDP, at); err != nil {
		return err
	}
	for _, size := range []int{0, 1, 8000, largestDatagram(to.Addr())} {
		step(ctx, func(ctx context.Context) {
			if _, err := client.Send(ctx, make([]byte, size), 0); err != nil {
				return
			}
			if _, from, err := server.RecvFrom(ctx, make([]byte, size+1), 0); err == nil {
				_, _ = server.SendTo(ctx, make([]byte, size), from, 0)
				_, _ = client.Recv(ctx, make([]byte, size+1), 0)
			}
		})
	}
	return nil
}

// largestDatagram is the largest payload (udp(7)). With IPv6 it is more than lo
// takes at once and goes in fragments.
func largestDatagram(to netip.Addr) int {
	if to.Is6() {
		return 65527
	}
	return 65507
}

// exchangePing sends echo requests.
func exchangePing(ctx context.Context, to netip.Addr) error {
	access, err := icmp.Allowed(to)
	if err != nil {
		return err
	}
	for sequence, size := range []int{56, 60000} {
		step(ctx, func(ctx context.Context) {
			_, _ = icmp.Echo(ctx, access, to, icmp.Request{Seq: uint16(sequence), Payload: make([]byte, size)})
		})
	}
	return nil
}
