package udp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// datagramsDropped is a cause that several checks name.
const datagramsDropped = "a firewall drops datagrams on lo"

// from receives the next datagram of one sender. What others send is left
// aside: somebody may be scanning the machine's ports.
func from(ctx context.Context, s *sock.Socket, sender netip.AddrPort) (string, error) {
	buf := make([]byte, largest)
	for {
		n, who, err := s.RecvFrom(ctx, buf, 0)
		if err != nil {
			return "", err
		}
		if who == sender {
			return string(buf[:n]), nil
		}
	}
}

// whoReceives says which of the sockets has what was sent, and takes it.
func whoReceives(ctx context.Context, sent string, sockets ...*sock.Socket) (int, error) {
	buf := make([]byte, len(sent)+1)
	for {
		for i, s := range sockets {
			n, err := s.TryRecv(buf, 0)
			switch {
			case err == nil && string(buf[:n]) == sent:
				return i, nil
			case err != nil && !errors.Is(err, syscall.EAGAIN):
				return 0, err
			}
			if err := ctx.Err(); err != nil {
				return 0, fmt.Errorf("none of %d sockets received it: %w", len(sockets), err)
			}
			aMoment(ctx, s)
		}
	}
}

// aMoment waits until the socket has something to read, but no longer than it
// takes to look elsewhere.
func aMoment(ctx context.Context, s *sock.Socket) {
	ctx, cancel := context.WithTimeout(ctx, time.Millisecond)
	defer cancel()
	_, _ = s.Poll(ctx, sock.Readable)
}

// boundInside is bound for use in a sandbox; the caller closes what it returns.
func boundInside(addr netip.AddrPort) (*sock.Socket, netip.AddrPort, error) {
	s, err := sock.New(sock.UDP, sock.IPv4)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	if err := s.Bind(addr); err != nil {
		return nil, netip.AddrPort{}, errors.Join(err, s.Close())
	}
	at, err := s.LocalAddr()
	return s, at, err
}
