package firewall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// prepare makes the zones ready, from within the zone inside, and says why
// there is no IPv6 in them, if there is none.
func prepare(ctx context.Context, in *sandbox.Inside) (withoutIPv6 string, err error) {
	if err := liftErrorLimits(); err != nil {
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

// liftErrorLimits lets every ICMP error go out that a rule asks for. Elsewhere
// than on lo the kernel sends only some (icmp_ratelimit in
// Documentation/networking/ip-sysctl.rst).
func liftErrorLimits() error {
	for _, setting := range []struct{ name, value string }{
		// With no type in the mask, the limit for all addresses together,
		// which the machine's namespaces may share, holds for none either.
		{"net/ipv4/icmp_ratemask", "0"},
		{"net/ipv6/icmp/ratelimit", "0"},
		{"net/ipv6/icmp/ratemask", ""},
	} {
		err := os.WriteFile("/proc/sys/"+setting.name, []byte(setting.value+"\n"), 0)
		ipv6 := strings.HasPrefix(setting.name, "net/ipv6/") // which may be off
		if err != nil && !(ipv6 && errors.Is(err, fs.ErrNotExist)) {
			return fmt.Errorf("set %s to %q: %w", strings.ReplaceAll(setting.name, "/", "."), setting.value, err)
		}
	}
	return nil
}

// addIPv6 gives an interface of the calling thread's zone its address, unless
// there is no IPv6 in the kernel or new interfaces come without it.
func addIPv6(ctx context.Context, name string, prefix netip.Prefix) (without string, err error) {
	switch probe, err := sock.New(sock.UDP, sock.IPv6); {
	case errors.Is(err, unix.EAFNOSUPPORT):
		return "the kernel has no IPv6 sockets", nil
	case err != nil:
		return "", err
	default:
		_ = probe.Close() // it was never used
	}
	for _, name := range []string{"lo", name} {
		setting := "net.ipv6.conf." + name + ".disable_ipv6"
		value, err := sysctl.Read(setting)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "the kernel has no IPv6", nil
		case err != nil:
			return "", err
		case value == "1":
			return setting + " is 1 in a new network namespace", nil
		}
	}
	link, err := net.InterfaceByName(name)
	if err != nil {
		return "", fmt.Errorf("look for %s: %w", name, err)
	}
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return "", fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	err = conn.Address.New(&rtnetlink.AddressMessage{
		Family:       unix.AF_INET6,
		PrefixLength: uint8(prefix.Bits()),
		Index:        uint32(link.Index),
		Attributes: &rtnetlink.AddressAttributes{
			Address: prefix.Addr().AsSlice(),
			Local:   prefix.Addr().AsSlice(),
			Flags:   unix.IFA_F_NODAD,
		},
	})
	if err != nil {
		return "", fmt.Errorf("give %s the address %v: %w", name, prefix, err)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return "", iface.AwaitLocal(ctx, prefix.Addr())
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
