// Package exposure answers which services that ought to be local others may
// reach: those known to package services that listen on an address which is not
// a loopback one.
package exposure

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/services"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// Service is a listener that others may reach, and what it is taken for.
type Service struct {
	listeners.Listener
	services.Match
	// Reached and Refused are the machine's other addresses by what came of
	// asking over them, as text; both are empty before Scan.
	Reached, Refused []string
}

// Everywhere returns the services that are bound to every interface.
func Everywhere(all []listeners.Listener) []Service {
	return find(all, func(l listeners.Listener) bool {
		return l.Scope == listeners.Every && l.Address.IsUnspecified()
	})
}

// OffLoopback returns the services that are bound to every interface or to an
// address that is not a loopback one.
func OffLoopback(all []listeners.Listener) []Service {
	return find(all, func(l listeners.Listener) bool {
		return l.Scope != listeners.Loopback && !l.Address.IsMulticast()
	})
}

func find(all []listeners.Listener, suits func(listeners.Listener) bool) []Service {
	var found []Service
	for _, l := range all {
		if !suits(l) {
			continue
		}
		if m, known := services.Find(l.Process, l.Protocol, l.Port); known {
			found = append(found, Service{Listener: l, Match: m})
		}
	}
	return found
}

// Scan asks for the services over the machine's other addresses: that a socket
// is bound to one does not say that it answers there.
func Scan(ctx context.Context, found []Service, others []iface.Own) error {
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		for _, other := range others {
			if err := scan(ctx, found, kind, other); err != nil {
				return err
			}
		}
	}
	return nil
}

// scan asks for the services of a protocol over one address.
func scan(ctx context.Context, found []Service, kind sock.Kind, over iface.Own) error {
	var ports []uint16
	for _, s := range found {
		if s.Protocol == kind.String() && s.Takes(over.Addr) {
			ports = append(ports, s.Port)
		}
	}
	if len(ports) == 0 {
		return nil
	}
	answers, err := portscan.Scan(ctx, portscan.Options{Protocol: kind, Addr: over.Addr, Ports: portset.Ports(ports...)})
	if err != nil {
		return err
	}
	for i := range found {
		s := &found[i]
		if s.Protocol != kind.String() || !s.Takes(over.Addr) {
			continue
		}
		if answer := answers.At(s.Port); answer.State == portscan.Open {
			s.Reached = append(s.Reached, over.String())
		} else {
			s.Refused = append(s.Refused, fmt.Sprintf("%s over %s", answer.Text(over.Addr), over))
		}
	}
	return nil
}

// Takes says whether packets to an address of the machine may be the listener's.
func (s Service) Takes(addr netip.Addr) bool {
	if !s.Address.IsUnspecified() {
		return s.Address.WithZone("") == addr.WithZone("")
	}
	return s.Address.Is4() == addr.Is4() || s.Address.Is6() && s.IPv4Too
}

// Label is the name of the service, with a warning where only its port tells.
func (s Service) Label() string {
	if s.By == "port" {
		return s.Service.Name + " (by its port)"
	}
	return s.Service.Name
}

// KeepsData says whether what others may read, change or delete there is data.
func (s Service) KeepsData() bool {
	switch s.Service.Kind {
	case services.Database, services.Cache, services.Queue, services.Coordination:
		return true
	}
	return false
}
