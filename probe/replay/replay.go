// Package replay answers what a machine's netfilter rules do to traffic over
// loopback, without sending anything on the machine: a copy of the rules is
// loaded into a sandbox, the traffic is sent there once more, and the kernel's
// packet trace tells which rules dropped or changed it.
package replay

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/loopcheck/loopcheck/probe/nftrace"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// Flow is traffic between this machine and itself.
type Flow struct {
	Protocol string // "tcp", "udp" or "icmp", which is ICMPv6 to an IPv6 address
	// To is where requests go. Port 0 stands for a port of the ephemeral range,
	// and is 0 for ICMP.
	To netip.AddrPort
}

// Meeting is a rule, or a chain's policy, that had an effect on packets.
type Meeting struct {
	Family string
	Table  string
	// Base is the chain that the hook led to, Chain the one of the rule.
	Base, Chain string
	// Handle is the rule's; 0 for a policy, and for iptables-legacy.
	Handle uint64
	// Legacy is the rule as iptables-legacy-save writes it.
	Legacy string
	// Dropped says that packets ended there. A rule that rejects shows as one
	// that drops.
	Dropped bool
	// Change is what it did to them otherwise.
	Change ruleset.Change
	// Partly says that it does so only to what is beyond a limit, or by chance.
	Partly bool
	// Packets are those, in words, as they came to it; the first few.
	Packets []string
	// Count is how many there were.
	Count int
}

// Outcome is what came of a flow through a copy of the rules.
type Outcome struct {
	Meetings []Meeting
	// Untried are parts of the rules that the copy lacked, or had otherwise.
	Untried []ruleset.Refusal
}

// shownPackets bounds how many packets of a Meeting are told: they are much
// alike.
const shownPackets = 3

// known keeps what was found: many checks send the same, and rules seldom
// change while they run.
var known = struct {
	sync.Mutex
	outcomes map[trial]Outcome
}{outcomes: map[trial]Outcome{}}

// trial is a flow through rules. nf_tables counts the changes of its own.
type trial struct {
	generation       uint32
	legacy4, legacy6 string
	flow             Flow
}

// Through sends the flow's traffic through a copy of the rules and returns what
// they did to it, with the rules' own handles. Where they did nothing, it tries
// once more with every limit exceeded.
//
// It fails where there are no sandboxes, or where no copy can be made.
func Through(ctx context.Context, rules *ruleset.Ruleset, flow Flow) (Outcome, error) {
	known.Lock()
	defer known.Unlock()
	key := trial{rules.Generation, rules.Legacy4.Save, rules.Legacy6.Save, flow}
	if found, tried := known.outcomes[key]; tried {
		return found, nil
	}
	found, err := through(ctx, rules, flow)
	if err != nil {
		return found, err
	}
	if exceeded, differs := rules.Exceeded(); len(found.Meetings) == 0 && differs {
		more, err := through(ctx, exceeded, flow)
		if err != nil {
			return found, err
		}
		for i := range more.Meetings {
			more.Meetings[i].Partly = true
			if m := &more.Meetings[i]; m.Legacy != "" {
				m.Legacy = exceeded.LegacyOrigin(m.Family, m.Table, m.Legacy)
			}
		}
		found.Meetings = more.Meetings
	}
	known.outcomes[key] = found
	return found, nil
}

func through(ctx context.Context, rules *ruleset.Ruleset, flow Flow) (Outcome, error) {
	box, err := sandbox.Start(ctx, sandbox.Config{Links: linkFor(flow.To.Addr())})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		return Outcome{}, fmt.Errorf("trying them takes private namespaces: %s", refused.How)
	}
	if err != nil {
		return Outcome{}, err
	}
	defer box.Close()
	copied, err := ruleset.LoadInto(ctx, box, "", rules)
	if err != nil {
		return Outcome{}, fmt.Errorf("a copy to try them in cannot be made: %w", err)
	}
	met, err := send.Call(ctx, box, "", order{flow, shapes()})
	if err != nil {
		return Outcome{}, err
	}
	outcome := Outcome{Untried: append(copied.Omitted, copied.Changed...)}
	for _, m := range met {
		if m.Handle != 0 {
			original, known := copied.Original(m.Family, m.Table, m.Handle)
			if !known {
				return Outcome{}, fmt.Errorf("the rule with handle %d of the copy of table %s %s has no original", m.Handle, m.Family, m.Table)
			}
			m.Handle = original
			if _, rule, found := rules.Find(m.Family, m.Table, original); found {
				m.Change = rule.Change()
			}
		}
		if m.Dropped || m.Change != "" {
			outcome.Meetings = append(outcome.Meetings, m)
		}
	}
	return outcome, nil
}

// linkFor gives the sandbox an address that is not one of lo's, on an interface
// of its own, as it is outside: packets to it go over lo all the same.
func linkFor(addr netip.Addr) []sandbox.Link {
	if addr.IsLoopback() {
		return nil
	}
	return []sandbox.Link{{
		A: sandbox.End{Name: "own0", Addresses: []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}},
		B: sandbox.End{Name: "own1"},
	}}
}

// order is what is to be sent.
type order struct {
	Flow   Flow
	Shapes map[string]string
}

// shaping are the settings that decide what headers packets have.
var shaping = []string{
	"net.ipv4.tcp_ecn", "net.ipv4.tcp_timestamps", "net.ipv4.tcp_sack", "net.ipv4.tcp_window_scaling",
	"net.ipv4.tcp_congestion_control", "net.ipv4.ip_default_ttl", "net.ipv6.conf.all.hop_limit",
}

// shapes reads them; those that cannot be read stay as the sandbox has them.
func shapes() map[string]string {
	values := map[string]string{}
	for _, name := range shaping {
		if value, err := sysctl.Read(name); err == nil {
			values[name] = value
		}
	}
	return values
}

// send sends a flow's traffic and returns every rule that it met, and every
// policy that dropped it.
var send = sandbox.Register("replay/send", func(ctx context.Context, _ *sandbox.Inside, o order) ([]Meeting, error) {
	for name, value := range o.Shapes {
		if err := sysctl.Set(name, value); err != nil {
			return nil, err
		}
	}
	reader, err := nftrace.Open()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	marking, err := nftrace.Mark()
	if err != nil {
		return nil, err
	}
	defer marking.Close()
	trace, err := traced(ctx, o.Flow, reader)
	if err != nil {
		return nil, err
	}
	legacy, err := legacyMeetings(ctx)
	return append(gather(trace.Packets), legacy...), err
})

// tracings is how often a flow is sent at most while the kernel says that it
// lost messages about it: a busy machine may read them too late.
const tracings = 3

// traced sends a flow's traffic and returns what became of it.
func traced(ctx context.Context, flow Flow, reader *nftrace.Reader) (trace *nftrace.Trace, err error) {
	for range tracings {
		if err := exchange(ctx, flow); err != nil {
			return nil, fmt.Errorf("send what the check sends: %w", err)
		}
		if trace, err = reader.Pending(); err != nil || trace.Losses == 0 {
			return trace, err
		}
	}
	return trace, nil
}

// gather lists what packets met, each rule once, in the order of first meeting.
func gather(packets []nftrace.Packet) []Meeting {
	var met []Meeting
	for _, p := range packets {
		by, dropped := p.Dropped()
		for _, t := range p.Traversals {
			for _, step := range t.Steps {
				ends := dropped && step == by
				if step.Handle == 0 && !ends || p.Head == nil {
					continue
				}
				m := Meeting{Family: step.Family, Table: step.Table, Base: t.Chain, Chain: step.Chain, Handle: step.Handle, Dropped: ends}
				met = meet(met, m, p.Head.Packet.String())
			}
		}
	}
	return met
}

func meet(met []Meeting, m Meeting, packet string) []Meeting {
	i := slices.IndexFunc(met, func(k Meeting) bool {
		return k.Family == m.Family && k.Table == m.Table && k.Chain == m.Chain && k.Handle == m.Handle && k.Dropped == m.Dropped
	})
	if i < 0 {
		i = len(met)
		met = append(met, m)
	}
	met[i].Count++
	if len(met[i].Packets) < shownPackets {
		met[i].Packets = append(met[i].Packets, packet)
	}
	return met
}
