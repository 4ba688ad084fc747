package ports

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	reservedSetting = "net.ipv4.ip_local_reserved_ports"
	// peerPort is outside of every range that the jobs set.
	peerPort = 50000
)

// space is what became of a few ephemeral ports that were all of a sandbox.
type space struct {
	Taken []taken
	// Explicit is what became of asking for reserved ports by their numbers.
	Explicit []explicit
}

// taken is what became of having the kernel choose a port again and again.
type taken struct {
	// By is "bind" or "connect".
	By     string
	Kind   sock.Kind
	Family sock.Family
	// Ports are those that it chose, sorted.
	Ports []uint16
	// Errno is how it refused the next one, 0 where it was not seen to refuse.
	Errno syscall.Errno
}

func (t taken) String() string { return fmt.Sprintf("%s of %s over %s", t.By, t.Kind, t.Family) }

// explicit is one bind of a port by its number.
type explicit struct {
	Kind  sock.Kind
	At    netip.AddrPort
	Errno syscall.Errno
}

// setRange gives the sandbox its ephemeral ports, and takes some out of them.
func setRange(limits portRange, reserved string) error {
	err := sysctl.Set(rangeSetting, fmt.Sprintf("%d %d", limits.first, limits.last))
	if err == nil && reserved != "" {
		err = sysctl.Set(reservedSetting, reserved)
	}
	return err
}

// tell says where the sandbox has no IPv6.
func (s *space) tell() {
	GinkgoHelper()
	if !slices.ContainsFunc(s.Taken, func(t taken) bool { return t.Family == sock.IPv6 }) {
		spec.Evidence("IPv6", "not asked: the private namespace has no ::1")
	}
}

// familiesHere are those that the thread's network namespace has on loopback.
func familiesHere() []sock.Family {
	if canBind(netip.IPv6Loopback()) {
		return []sock.Family{sock.IPv4, sock.IPv6}
	}
	return []sock.Family{sock.IPv4}
}

// takeByBind has bind choose ports, at most so many. What is to be done while
// they are taken comes last.
func (s *space) takeByBind(kind sock.Kind, family sock.Family, most int, meanwhile ...func() error) error {
	return s.take("bind", kind, family, most, func(one *sock.Socket) error { return one.Bind(family.Loopback(0)) }, meanwhile...)
}

// takeByConnect has connect choose ports, all for one destination.
func (s *space) takeByConnect(ctx context.Context, kind sock.Kind, family sock.Family, most int) error {
	peer, err := sock.New(kind, family)
	if err != nil {
		return err
	}
	defer peer.Close()
	to := family.Loopback(peerPort)
	if err := peer.Bind(to); err != nil {
		return err
	}
	if kind == sock.TCP {
		if err := peer.Listen(most); err != nil {
			return err
		}
	}
	return s.take("connect", kind, family, most, func(one *sock.Socket) error {
		if kind == sock.TCP {
			// Closing in the ordinary way would keep the port in TIME_WAIT.
			if err := one.SetLinger(0); err != nil {
				return err
			}
		}
		return one.Connect(ctx, to)
	})
}

// take gives sockets a port until there is none left or most have one.
func (s *space) take(by string, kind sock.Kind, family sock.Family, most int, give func(*sock.Socket) error, meanwhile ...func() error) error {
	t := taken{By: by, Kind: kind, Family: family}
	for range most {
		one, err := sock.New(kind, family)
		if err != nil {
			return err
		}
		defer one.Close()
		if err := give(one); err != nil {
			if !errors.As(err, &t.Errno) {
				return err
			}
			break
		}
		at, err := one.LocalAddr()
		if err != nil {
			return err
		}
		t.Ports = append(t.Ports, at.Port())
	}
	slices.Sort(t.Ports)
	s.Taken = append(s.Taken, t)
	for _, do := range meanwhile {
		if err := do(); err != nil {
			return err
		}
	}
	return nil
}
