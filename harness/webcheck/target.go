package webcheck

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/web"
)

// resolveTimeout bounds a look-up in the hosts file.
const resolveTimeout = 5 * time.Second

// Target is a server of this machine.
type Target struct {
	URL *url.URL
	// Addresses are those that the host of the URL stands for, all of this machine.
	Addresses []netip.AddrPort
}

// TargetError says why a URL is refused.
type TargetError struct{ URL, Why, Instead string }

func (e *TargetError) Error() string { return fmt.Sprintf("%q %s: %s", e.URL, e.Why, e.Instead) }

// ParseTarget reads a URL and finds what it stands for, without sending anything. The
// error is a *TargetError.
func ParseTarget(ctx context.Context, text string) (Target, error) {
	refuse := func(why, instead string) (Target, error) {
		return Target{}, &TargetError{URL: text, Why: why, Instead: instead}
	}
	const example = "write it as http://localhost:8080/"
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" || u.Scheme == "" || u.Host == "" && u.Scheme != "http" && u.Scheme != "https" {
		return refuse("is no URL", example)
	}
	switch {
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("is of "+u.Scheme, "write http:// or https://")
	case u.Hostname() == "":
		return refuse("names no host", example)
	case u.User != nil:
		return refuse("holds a user name", "leave it out, and write --header 'Authorization: Basic ...'")
	}
	if _, err := portOf(u); err != nil {
		return refuse("has no such port", "write one from 1 to 65535")
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment, u.RawFragment = "", ""
	if at, err := netip.ParseAddr(u.Hostname()); err == nil && at.Unmap().IsUnspecified() {
		u.Host = loopbackOf(at.Unmap(), u.Port())
	}
	target := Target{URL: u}
	target.Addresses, err = local(ctx, u)
	switch other, isOther := errors.AsType[*web.NotLocalError](err); {
	case isOther:
		return refuse(fmt.Sprintf("leads to %s, which is not an address of this machine", other.Addr), "only servers of this machine are asked: run loopcheck there")
	case err != nil:
		return refuse(fmt.Sprintf("names no host of this machine (%s)", reason(err)), "write localhost, an address of this machine, or a name of the hosts file")
	}
	return target, nil
}

// loopbackOf is the host of a URL for a server that is bound to every address of a
// family, which is no address to connect to: it answers on loopback (ip(7),
// INADDR_ANY). The port may be empty.
func loopbackOf(unspecified netip.Addr, port string) string {
	host := "127.0.0.1"
	if unspecified.Is6() {
		host = "[::1]"
	}
	if port == "" {
		return host
	}
	return host + ":" + port
}

// portOf is the port of a URL, or that of its scheme.
func portOf(u *url.URL) (uint16, error) {
	switch text := u.Port(); {
	case text != "":
		port, err := strconv.ParseUint(text, 10, 16)
		if err == nil && port == 0 {
			err = errors.New("port 0")
		}
		return uint16(port), err
	case u.Scheme == "https":
		return 443, nil
	}
	return 80, nil
}

// local returns the addresses that a URL stands for. The error wraps a
// *web.NotLocalError where one of them is not the machine's own. What the machine has
// not got, as ::1 without IPv6, is left out where it has another.
func local(ctx context.Context, u *url.URL) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, resolveTimeout)
	defer cancel()
	port, err := portOf(u)
	if err != nil {
		return nil, err
	}
	addrs, err := web.Resolve(ctx, strings.ToLower(u.Hostname()))
	if err != nil {
		return nil, err
	}
	var all, absent []netip.AddrPort
	for _, addr := range addrs {
		addr = addr.Unmap()
		own, _, err := iface.Owns(addr)
		switch {
		case err == nil && own, addr.Is4() && addr.IsLoopback():
			all = append(all, netip.AddrPortFrom(addr, port))
		case addr.IsLoopback(): // never leaves the machine (RFC 4291 2.5.3)
			absent = append(absent, netip.AddrPortFrom(addr, port))
		case err != nil:
			return nil, fmt.Errorf("find out whether %s is an address of this machine: %w", addr, err)
		default:
			return nil, &web.NotLocalError{Addr: addr}
		}
	}
	if len(all) == 0 {
		all = absent
	}
	if len(all) == 0 {
		return nil, &net.AddrError{Err: "no address", Addr: u.Hostname()}
	}
	return all, nil
}

// reason is why a name was not found, without the name server that would have been
// asked.
func reason(err error) string {
	if lookup, ok := errors.AsType[*net.DNSError](err); ok {
		return lookup.Err
	}
	return err.Error()
}
