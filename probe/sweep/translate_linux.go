package sweep

import (
	"context"
	"errors"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
	"github.com/loopcheck/loopcheck/probe/portset"
)

// translatingTable is where packets are recorded after rules had the occasion to
// send them elsewhere, and before any other decides about them.
const translatingTable = Table + "_translating"

var (
	deciding    = map[string]uint32{"arrived": hookInput, "left": hookPostrouting}
	translating = map[string]uint32{"arrived": hookPrerouting, "left": hookOutput}
)

// learnTranslations finds out where rules send the packets that begin
// connections: those that belong to one go the same way.
func (q *questions) learnTranslations(ctx context.Context) (err error) {
	look := &questions{in: q.in, machine: q.machine}
	var of []int
	for i, s := range q.sweeps {
		if s.State != Established {
			continue
		}
		s.State = New
		if s.Burst > 0 {
			// One is enough: the others go to the same port.
			s.Burst, s.Ports = 0, []portset.Range{{First: s.Ports[0].First, Last: s.Ports[0].First}}
		}
		t := newTemplate(s, len(of))
		t.sweep.SourcePort = q.outs[i].sweep.SourcePort
		look.sweeps, look.outs, look.doors = append(look.sweeps, s), append(look.outs, t), append(look.doors, q.doors[i])
		look.tallies, of = append(look.tallies, newTally(s)), append(of, i)
	}
	if len(of) == 0 {
		return nil
	}
	if any, err := translates(ctx); !any || err != nil {
		return err
	}
	room := 0
	for _, s := range look.sweeps {
		room += s.packets()
	}
	if look.recorder, err = startRecording(recording{table: translatingTable, hooks: translating}, look.sweeps, room); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, look.recorder.release()) }()
	if err := look.askAll(ctx); err != nil {
		return err
	}
	for k, t := range look.tallies {
		for _, run := range t.runs() {
			if run.Landed.IsValid() {
				q.translate(of[k], run)
			}
		}
	}
	return nil
}

// translate notes where connections of a sweep to the ports of a run are sent.
func (q *questions) translate(sweep int, run Run) {
	s := q.sweeps[sweep]
	numbers := portset.Range{First: run.First, Last: run.Last}
	if s.Burst > 0 {
		numbers = portset.Range{First: 1, Last: s.Burst}
	}
	for n := int(numbers.First); n <= int(numbers.Last); n++ {
		from, to := q.outs[sweep].ends(uint16(n))
		at := run.Landed
		if at.Port() == 0 {
			at = netip.AddrPortFrom(at.Addr(), to.Port())
		}
		q.translated[connection{s.Protocol, from, to}] = at
	}
}

// sentTo is where a connection is sent; invalid if none is sent elsewhere. One
// that stays is said to, too: so the kernel finds other ports for those whose
// answers would look alike.
func (q *questions) sentTo(its connection) netip.AddrPort {
	if at, elsewhere := q.translated[its]; elsewhere || len(q.translated) == 0 {
		return at
	}
	return its.to
}

// translates says that a chain in the calling thread's network namespace may
// change addresses.
func translates(ctx context.Context) (found bool, err error) {
	conn, err := nfnl.Dial()
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	err = conn.List(ctx, nfnl.Message{Type: nfnl.GetChain}, func(_ uint8, attributes []byte) error {
		a, err := nfnl.Parse(attributes)
		found = found || a.Text(unix.NFTA_CHAIN_TYPE) == "nat"
		return err
	})
	return found, err
}

// Attributes that say where a connection is sent
// (linux/netfilter/nfnetlink_conntrack.h), named as there.
const (
	ctNATDestination = 13

	natIPv4Min  = 1
	natPorts    = 3
	natIPv6Min  = 4
	natPortsMin = 1
)

// destination is the attribute of a connection that is sent elsewhere. What packets
// come back from is then for the kernel to say.
func destination(at netip.AddrPort) netlink.Attribute {
	first := uint16(natIPv4Min)
	if at.Addr().Is6() {
		first = natIPv6Min
	}
	port := []byte{byte(at.Port() >> 8), byte(at.Port())}
	return nested(ctNATDestination,
		netlink.Attribute{Type: first, Data: at.Addr().AsSlice()},
		netlink.Attribute{Type: first + 1, Data: at.Addr().AsSlice()},
		nested(natPorts, netlink.Attribute{Type: natPortsMin, Data: port}, netlink.Attribute{Type: natPortsMin + 1, Data: port}))
}
