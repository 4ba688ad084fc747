package freeport

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// listenBacklog is that of the sockets that are kept. The kernel cuts it to
// net.core.somaxconn.
const listenBacklog = 4096

// hasIPv6 says whether the kernel makes IPv6 sockets and lets them have an
// address.
func hasIPv6() bool {
	s, err := sock.New(sock.UDP, sock.IPv6)
	if err != nil {
		return false
	}
	defer s.Close()
	return !errors.Is(s.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 0)), syscall.EADDRNOTAVAIL)
}

type finder struct {
	options  Options
	rules    rules
	families []sock.Family
	// refused is why a port could not be had, by port.
	refused map[uint16]error
}

func find(ctx context.Context, o Options) ([]*Port, error) {
	rules, err := readRules()
	if err != nil {
		return nil, err
	}
	f := finder{options: o, rules: rules, families: []sock.Family{sock.IPv4}, refused: map[uint16]error{}}
	if hasIPv6() {
		f.families = append(f.families, sock.IPv6)
	}
	return f.find(ctx)
}

func (f *finder) find(ctx context.Context) (found []*Port, err error) {
	for _, preference := range f.order() {
		for _, port := range preference {
			if len(found) == f.options.Count {
				break
			}
			if err := ctx.Err(); err != nil {
				return found, err
			}
			p, err := f.take(ctx, port)
			switch {
			case err == nil:
				found = append(found, p)
			case errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
				f.refused[port] = err
			default:
				return found, err
			}
		}
	}
	if len(found) < f.options.Count {
		return found, f.none(ctx, len(found))
	}
	slices.SortFunc(found, func(a, b *Port) int { return int(a.Number) - int(b.Number) })
	return found, nil
}

// claim is a binding that proves a port free, or that somebody will use.
type claim struct {
	kind   sock.Kind
	family sock.Family
	addr   netip.Addr
	// v6Only leaves the port of IPv4 free.
	v6Only bool
}

func wildcard(family sock.Family) netip.Addr {
	if family == sock.IPv6 {
		return netip.IPv6Unspecified()
	}
	return netip.IPv4Unspecified()
}

func familyOf(addr netip.Addr) sock.Family {
	if addr.Is6() {
		return sock.IPv6
	}
	return sock.IPv4
}

// covered says whether a kept socket takes the port of a family already, so
// that a wildcard cannot be bound beside it.
func (f *finder) covered(kind sock.Kind, family sock.Family) bool {
	return slices.ContainsFunc(f.options.Keep, func(k Kept) bool {
		both := k.Addr == netip.IPv6Unspecified()
		return k.Kind == kind && (familyOf(k.Addr) == family || both)
	})
}

// take binds a port in every way. The sockets to be kept come first and are
// never let go of: the port is theirs from the moment it was found free.
func (f *finder) take(ctx context.Context, port uint16) (p *Port, err error) {
	p = &Port{Number: port}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	for _, k := range f.options.Keep {
		s, err := claim{kind: k.Kind, family: familyOf(k.Addr), addr: k.Addr}.bind(port)
		if err != nil {
			return p, err
		}
		p.Kept = append(p.Kept, s)
		if k.Kind == sock.TCP {
			if err := s.Listen(listenBacklog); err != nil {
				return p, err
			}
		}
	}
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		for _, family := range f.families {
			if f.covered(kind, family) {
				continue
			}
			s, err := claim{kind: kind, family: family, addr: wildcard(family), v6Only: family == sock.IPv6}.bind(port)
			if err != nil {
				return p, err
			}
			p.proof = append(p.proof, s)
		}
	}
	return p, f.onlyOurs(ctx, port)
}

func (c claim) bind(port uint16) (*sock.Socket, error) {
	s, err := sock.New(c.kind, c.family)
	if err != nil {
		return nil, err
	}
	if c.v6Only {
		err = s.SetV6Only()
	}
	if err == nil {
		err = s.Bind(netip.AddrPortFrom(c.addr, port))
	}
	if err != nil {
		_ = s.Close()
		return nil, err
	}
	return s, nil
}

// onlyOurs looks into the socket table for others on a port of which one
// address is kept: the wildcard that would prove the other addresses free
// cannot be bound beside it.
func (f *finder) onlyOurs(ctx context.Context, port uint16) error {
	for _, k := range f.options.Keep {
		if k.Addr.IsUnspecified() {
			continue
		}
		holders, err := socktable.Holders(ctx, binding(k.Kind, wildcard(familyOf(k.Addr)), port, true))
		if err != nil {
			return err
		}
		for _, h := range holders {
			if h.Local.Addr().Unmap() != k.Addr {
				return fmt.Errorf("%s port %d: %w", k.Kind, port, syscall.EADDRINUSE)
			}
		}
	}
	return nil
}

func binding(kind sock.Kind, addr netip.Addr, port uint16, v6Only bool) socktable.Binding {
	protocol := socktable.TCP
	if kind == sock.UDP {
		protocol = socktable.UDP
	}
	return socktable.Binding{Protocol: protocol, Local: netip.AddrPortFrom(addr, port), V6Only: v6Only}
}
