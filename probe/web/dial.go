package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http/httptrace"
	"net/netip"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// NotLocalError says that an address is not the machine's own, for which reason
// nothing was sent to it.
type NotLocalError struct{ Addr netip.Addr }

func (e *NotLocalError) Error() string {
	return fmt.Sprintf("%s is not an address of this machine: nothing was sent to it", e.Addr)
}

// errNoNameServer is why a name that the hosts file does not have is not found.
var errNoNameServer = errors.New("the name is not in the hosts file, and no name server is asked")

// hostsFile knows the names of the hosts file (hosts(5)). A question to a name server
// could leave the machine.
var hostsFile = &net.Resolver{
	PreferGo: true,
	Dial:     func(context.Context, string, string) (net.Conn, error) { return nil, errNoNameServer },
}

// dialer connects to the first address of a name that answers. Where it has some of
// both families, the other's turn comes after 300 ms, or a refusal (RFC 8305).
var dialer = net.Dialer{Resolver: hostsFile, ControlContext: ownAddress}

// ownAddress refuses to connect to another machine.
func ownAddress(_ context.Context, _, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("connect to %q: %w", address, err)
	}
	return mustOwn(to.Addr().Unmap())
}

func mustOwn(addr netip.Addr) error {
	if addr.IsLoopback() {
		return nil // never leaves the machine (RFC 1122 3.2.1.3; RFC 4291 2.5.3)
	}
	own, _, err := iface.Owns(addr)
	if err != nil {
		return fmt.Errorf("find out whether %s is an address of this machine: %w", addr, err)
	}
	if !own {
		return &NotLocalError{addr}
	}
	return nil
}

func dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := dialer.DialContext(ctx, network, address)
	host, port, splitErr := net.SplitHostPort(address)
	if _, unknown := errors.AsType[*net.DNSError](err); !unknown || splitErr != nil || !isLocalhost(host) {
		return conn, err
	}
	// Names below localhost are loopback's without a look-up (RFC 6761 6.3).
	conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(loopbacks[0].String(), port))
	if err != nil && ctx.Err() == nil {
		conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(loopbacks[1].String(), port))
	}
	return conn, err
}

var loopbacks = []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}

func isLocalhost(host string) bool {
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// Resolve returns the addresses that a client tries for a host, a name or an address.
// It asks no name server. The error wraps a *net.DNSError for a name that is unknown.
func Resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	addrs, err := hostsFile.LookupNetIP(ctx, "ip", host)
	if _, unknown := errors.AsType[*net.DNSError](err); unknown && isLocalhost(host) {
		return loopbacks, nil
	}
	for i, addr := range addrs {
		addrs[i] = addr.Unmap()
	}
	return addrs, err
}

// resolveTraced is Resolve, seen by the trace of the request as a dialer's is.
func resolveTraced(ctx context.Context, host string) ([]netip.Addr, error) {
	trace := httptrace.ContextClientTrace(ctx)
	if trace == nil || trace.DNSStart == nil {
		return Resolve(ctx, host)
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return Resolve(ctx, host)
	}
	trace.DNSStart(httptrace.DNSStartInfo{Host: host})
	addrs, err := Resolve(ctx, host)
	trace.DNSDone(httptrace.DNSDoneInfo{Err: err})
	return addrs, err
}
