// Package freeport answers which port is free now, and keeps it so.
//
// A port counts as free when it can be bound exclusively, without SO_REUSEADDR,
// over TCP and UDP, on every address of IPv4 and IPv6 at once (bind(2)), and
// is not reserved (net.ipv4.ip_local_reserved_ports). That is asked of the
// kernel by binding it; the sockets that did are kept until the port is given
// back, so that nobody takes it in between.
//
// It is implemented on Linux. Elsewhere Find returns an error that wraps
// errors.ErrUnsupported.
package freeport

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// Options says what to look for.
type Options struct {
	// Ports is where to look. The empty set stands for the ports that the kernel
	// chooses for nobody: first the dynamic ones outside of
	// net.ipv4.ip_local_port_range, then the other ones from 1024 up, and what is
	// within that range last.
	Ports portset.Set
	// Count is how many ports, at least 1.
	Count int
	// Keep is the sockets to bind of each port, for somebody who will use them;
	// none where the port is only to be told.
	Keep []Kept
}

// Kept is a socket to be bound of a port that was found.
type Kept struct {
	Kind sock.Kind
	// Addr is one of the machine's own addresses, or a wildcard. :: takes IPv4
	// too.
	Addr netip.Addr
}

// Port is a port that was free and is held until Close.
type Port struct {
	Number uint16
	// Kept are the sockets that Options.Keep asks for, in that order, TCP ones
	// listening.
	Kept  []*sock.Socket
	proof []*sock.Socket
}

// Close gives the port back.
func (p *Port) Close() {
	for _, s := range append(p.proof, p.Kept...) {
		_ = s.Close()
	}
	p.proof, p.Kept = nil, nil
}

// NoneError says that there are not as many free ports as were asked for.
type NoneError struct {
	Wanted, Found int
	Searched      portset.Set
	Reasons       []Reason
}

// Reason is why some ports are not free.
type Reason struct {
	Ports portset.Set
	// What reads behind "are ", such as "reserved by
	// net.ipv4.ip_local_reserved_ports".
	What string
	// Who are the sockets that hold the first of the ports, a line each.
	Who []string
}

func (e *NoneError) Error() string {
	if e.Found == 0 && e.Wanted == 1 {
		return fmt.Sprintf("no port of %s is free", e.Searched)
	}
	return fmt.Sprintf("%d of %d ports wanted of %s are free", e.Found, e.Wanted, e.Searched)
}

// Find returns as many free ports as were asked for, ascending, each held. The
// order in which it looks is random, so that two who look at once seldom meet.
// The error is a *NoneError where there are too few.
func Find(ctx context.Context, o Options) ([]*Port, error) {
	found, err := find(ctx, o)
	if err != nil {
		for _, p := range found {
			p.Close()
		}
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	return found, nil
}
