// Package dbtarget answers which database server of this machine a user has named.
// One that is on another machine it refuses, before anything is sent: names are
// looked up in the hosts file alone (hosts(5)), every host of several has to be
// this machine, and what was looked up is where the connection goes.
//
// Its errors hold no password.
package dbtarget

import (
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/loopcheck/loopcheck/probe/hostnames"
	"github.com/loopcheck/loopcheck/probe/iface"
)

// MalformedError says that what was written names no server.
type MalformedError struct {
	// Why holds nothing of what was written: a part of it may be a password.
	Why string
	// Write is what would name one.
	Write string
}

func (e *MalformedError) Error() string { return e.Why + ": write " + e.Write }

// ElsewhereError says that a host is not this machine.
type ElsewhereError struct {
	Host string
	Why  string
}

func (e *ElsewhereError) Error() string {
	return fmt.Sprintf("%s is not this machine (%s): only a server on this machine is asked", e.Host, e.Why)
}

// UnknownError says that a name is not in the hosts file.
type UnknownError struct{ Host string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("%s stands in no line of %s, and no name server is asked: write an address of this machine in its place", e.Host, hostnames.HostsPath)
}

// readHosts is a variable for tests.
var readHosts = func() (string, error) {
	text, err := os.ReadFile(hostnames.HostsPath)
	return string(text), err
}

// owns is a variable for tests.
var owns = iface.Owns

// resolve returns the addresses of this machine that a host stands for. An address
// that stands for any of them is that of loopback. ::1 is always this machine (RFC
// 4291 2.5.3); where IPv6 is off it is left out, unless it is all there is.
func resolve(host string) ([]netip.Addr, error) {
	candidates, err := lookUp(host)
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, addr := range candidates {
		switch addr = addr.Unmap(); addr {
		case netip.IPv4Unspecified():
			addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
		case netip.IPv6Unspecified():
			addr = netip.IPv6Loopback()
		}
		is, why, err := owns(addr)
		if addr == netip.IPv6Loopback() && !is {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for %s among the addresses of this machine: %w", addr, err)
		}
		if !is {
			return nil, &ElsewhereError{Host: named(host, addr), Why: why}
		}
		own = append(own, addr)
	}
	if len(own) == 0 {
		own = []netip.Addr{netip.IPv6Loopback()}
	}
	return own, nil
}

func named(host string, addr netip.Addr) string {
	if host == addr.String() {
		return host
	}
	return fmt.Sprintf("%s, which is %s,", host, addr)
}

// lookUp returns what an address says itself, what the hosts file says of a name,
// and of localhost what it stands for (RFC 6761 6.3).
func lookUp(host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	text, err := readHosts()
	if err != nil {
		text = "" // which is a machine without names
	}
	var found []netip.Addr
	name := strings.TrimSuffix(host, ".")
	for _, line := range hostnames.ParseHosts(text) {
		if line.Has(name) {
			found = append(found, line.Addr)
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	if lower := strings.ToLower(name); lower == "localhost" || strings.HasSuffix(lower, ".localhost") {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}, nil
	}
	return nil, &UnknownError{Host: host}
}
