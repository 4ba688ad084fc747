package freeport

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// namedHolders bounds how many sockets a reason names.
const namedHolders = 5

// Reasons, in the order in which they are told.
const (
	listened    = "held by sockets that listen"
	boundOnly   = "held by sockets that are bound"
	connected   = "used by connections"
	timeWait    = "used by connections in TIME_WAIT, which ends within a minute"
	unlisted    = "held by somebody whom the kernel does not list, or who is gone by now"
	reserved    = "reserved by " + reservedSetting
	notAllowed  = "not allowed to this user without CAP_NET_BIND_SERVICE: they are below "
	refusedElse = "refused by the kernel (EPERM), as by a program of a cgroup"
)

// none explains why there are too few free ports.
func (f *finder) none(ctx context.Context, found int) error {
	table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.TCP, socktable.UDP}, Owners: true})
	if err != nil {
		return fmt.Errorf("see who has the ports: %w", err)
	}
	ports, who := map[string][]uint16{}, map[string][]string{}
	for port, refusal := range f.refused {
		what, holder := f.reason(table, port, refusal)
		ports[what] = append(ports[what], port)
		if holder != "" {
			who[what] = append(who[what], holder)
		}
	}
	e := &NoneError{Wanted: f.options.Count, Found: found, Searched: f.searched()}
	low := notAllowed + lowText()
	for _, what := range []string{listened, boundOnly, connected, timeWait, unlisted, low, refusedElse} {
		if len(ports[what]) == 0 {
			continue
		}
		slices.Sort(who[what])
		e.Reasons = append(e.Reasons, Reason{portset.Ports(ports[what]...), what, who[what][:min(namedHolders, len(who[what]))]})
	}
	if kept := f.searched().Without(f.searched().Without(f.rules.reserved)); kept.Len() > 0 {
		e.Reasons = append(e.Reasons, Reason{Ports: kept, What: reserved})
	}
	return e
}

// reason is why a port was refused, with the socket that holds it.
func (f *finder) reason(table *socktable.Table, port uint16, refusal error) (what, holder string) {
	switch {
	case errors.Is(refusal, syscall.EACCES):
		return notAllowed + lowText(), ""
	case errors.Is(refusal, syscall.EPERM):
		return refusedElse, ""
	}
	for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
		for _, family := range f.families {
			holders := table.Holders(binding(kind, wildcard(family), port, true))
			if len(holders) == 0 {
				continue
			}
			first := holders[0]
			switch {
			case first.State == sock.TimeWait:
				what = timeWait
			case first.Listens():
				what = listened
			case first.State == sock.Closed:
				what = boundOnly
			default:
				what = connected
			}
			return what, first.String()
		}
	}
	return unlisted, ""
}
