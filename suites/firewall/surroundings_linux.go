package firewall

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
)

// prepare makes the zones ready, from within the zone inside, and says why
// there is no IPv6 in them, if there is none.
func prepare(ctx context.Context, in *sandbox.Inside) (withoutIPv6 string, err error) {
	if err := stage.LiftErrorLimits(); err != nil {
		return "", err
	}
	for _, end := range []struct {
		sandbox.End
		v6 netip.Prefix
	}{{eth0, eth0V6}, {uplink, uplinkV6}} {
		err := in.Do(end.Zone, func() (err error) {
			if withoutIPv6 == "" {
				withoutIPv6, err = addIPv6(ctx, end.Name, end.v6)
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	return withoutIPv6, nil
}

// addIPv6 gives an interface of the calling thread's zone its address, unless
// there is no IPv6 in the kernel or new interfaces come without it.
func addIPv6(ctx context.Context, name string, prefix netip.Prefix) (without string, err error) {
	if without, err = stage.LacksIPv6(); without != "" || err != nil {
		return without, err
	}
	return "", stage.AddAddress(ctx, name, prefix)
}

// client is the zone that sends on a path, and target the address it sends to.
func (q question) client() string {
	if q.Path == fromOutside {
		return outside
	}
	return inside
}

func (q question) target() netip.AddrPort {
	switch q.Path {
	case fromOutside:
		return netip.AddrPortFrom(addressOf(eth0, eth0V6, q.Family), q.Port)
	case toOutside:
		return netip.AddrPortFrom(addressOf(uplink, uplinkV6, q.Family), q.Port)
	}
	return q.Family.Loopback(q.Port)
}

func (q question) server() string {
	if q.Path == toOutside {
		return outside
	}
	return inside
}

func addressOf(end sandbox.End, v6 netip.Prefix, family sock.Family) netip.Addr {
	if family == sock.IPv6 {
		return v6.Addr()
	}
	return end.Addresses[0].Addr()
}

// sockets are those of one call.
type sockets struct {
	ctx  context.Context
	stop context.CancelFunc
	all  []*sock.Socket
}

func newSockets(ctx context.Context) *sockets {
	ctx, cancel := context.WithCancel(ctx)
	return &sockets{ctx: ctx, stop: cancel}
}

// Close closes every socket; those that echo end a moment later by themselves.
func (s *sockets) Close() {
	s.stop()
	for _, socket := range s.all {
		// Nothing that was asked depends on how it ends.
		_ = socket.Close()
	}
}

// open returns a socket of the zone, which then may be used from any.
func (s *sockets) open(in *sandbox.Inside, zone string, kind sock.Kind, family sock.Family) (*sock.Socket, error) {
	var socket *sock.Socket
	err := in.Do(zone, func() (err error) {
		socket, err = sock.New(kind, family)
		return err
	})
	return socket, err
}

// own lets a socket be closed with the others.
func (s *sockets) own(socket *sock.Socket) *sock.Socket {
	s.all = append(s.all, socket)
	return socket
}

// bind returns a socket at the address that a question is about; it listens if
// it is one of TCP.
func (s *sockets) bind(in *sandbox.Inside, q question) (*sock.Socket, error) {
	socket, err := s.open(in, q.server(), q.Protocol, q.Family)
	if err != nil {
		return nil, err
	}
	if err = socket.Bind(q.target()); err == nil && q.Protocol == sock.TCP {
		const backlog = 8 // nothing is accepted, and each question is one connection
		err = socket.Listen(backlog)
	}
	if err != nil {
		_ = socket.Close()
		return nil, fmt.Errorf("serve %s %s: %w", q.Protocol, q.target(), err)
	}
	return socket, nil
}

// serve answers whatever a question may reach: the kernel does for TCP, and
// for UDP a goroutine that sends back what comes.
func (s *sockets) serve(in *sandbox.Inside, q question) error {
	socket, err := s.bind(in, q)
	switch {
	case err != nil:
		return err
	case q.Protocol == sock.UDP:
		go echo(s.ctx, socket)
	default:
		s.own(socket)
	}
	return nil
}

// echo ends with its context, and closes the socket then. A datagram that it
// cannot send back is one without an answer, which is for the question to find.
func echo(ctx context.Context, socket *sock.Socket) {
	defer socket.Close()
	buf := make([]byte, 64)
	for {
		n, from, err := socket.RecvFrom(ctx, buf, 0)
		if err != nil {
			return
		}
		_, _ = socket.SendTo(ctx, buf[:n], from, 0)
	}
}
