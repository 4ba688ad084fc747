package sweep_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// A packet is in the state that it is asked in, whatever else is asked in the
// same call or was before.
func TestStates(t *testing.T) {
	s := set(t, `table inet f {
	chain in {
		type filter hook input priority 0; policy drop;
		ct state established,related accept
		ct state invalid drop
		ct state new th dport 22 accept
		reject
	}
}
`)
	type question struct {
		state sweep.State
		want  string
	}
	some := portset.Range{First: 20, Last: 23}
	for range 2 {
		for _, zone := range []string{outside, stage.Machine} {
			for _, family := range s.Families() {
				rejected := "reject with icmp port-unreachable"
				if family == sock.IPv6 {
					rejected = "reject with icmpv6 port-unreachable"
				}
				var sweeps []sweep.Sweep
				var asked []question
				for _, q := range []question{
					{sweep.New, "20-21 " + rejected + ", 22 accept, 23 " + rejected},
					{sweep.Established, "20-23 accept"},
					{sweep.Invalid, "20-23 drop"},
					{sweep.New, "20-21 " + rejected + ", 22 accept, 23 " + rejected},
				} {
					for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP} {
						if q.state == sweep.Invalid && protocol == sweep.UDP && zone == stage.Machine {
							continue // checksums are not looked at over lo
						}
						one := every(s, zone, family, protocol, some)
						one.State = q.state
						sweeps, asked = append(sweeps, one), append(asked, q)
					}
				}
				for i, runs := range ask(t, s, sweeps...) {
					expect(t, string(asked[i].state)+" "+string(sweeps[i].Protocol)+" from "+zone, runs, asked[i].want)
				}
			}
		}
	}
}

// More connections than connection tracking usually has room for.
func TestManyConnections(t *testing.T) {
	s := set(t, "table inet f {\n\tchain in { type filter hook input priority 0; policy drop; ct state established accept; }\n}\n")
	var sweeps []sweep.Sweep
	for _, port := range []uint16{0, 1000, 2000, 3000, 4000} {
		one := every(s, outside, sock.IPv4, sweep.UDP)
		one.State, one.SourcePort = sweep.Established, port
		sweeps = append(sweeps, one)
	}
	for i, runs := range ask(t, s, sweeps...) {
		expect(t, fmt.Sprint("sweep ", i), runs, "1-65535 accept")
	}
}

// What is rejected is told so in every state: the answer to a packet of a
// connection has the packet's tag, and goes where packets are recorded.
func TestRejectedStates(t *testing.T) {
	s := set(t, `table inet f {
	chain in {
		type filter hook input priority 0;
		tcp dport 20 ct state established reject with tcp reset
		tcp dport 21 ct state invalid reject with tcp reset
		tcp dport 22 ct state new reject with tcp reset
		th dport 23 reject
	}
}
`)
	some := portset.Range{First: 20, Last: 23}
	for range 2 {
		for _, zone := range []string{outside, stage.Machine} {
			for _, family := range s.Families() {
				rejected := ", 23 reject with icmp port-unreachable"
				if family == sock.IPv6 {
					rejected = ", 23 reject with icmpv6 port-unreachable"
				}
				for state, want := range map[sweep.State]string{
					sweep.Established: "20 reject with tcp-reset, 21-22 accept" + rejected,
					sweep.Invalid:     "20 accept, 21 reject with tcp-reset, 22 accept" + rejected,
					sweep.New:         "20-21 accept, 22 reject with tcp-reset" + rejected,
				} {
					one := every(s, zone, family, sweep.TCP, some)
					one.State = state
					expect(t, string(state)+" from "+zone, ask(t, s, one)[0], want)
				}
				udp := every(s, zone, family, sweep.UDP, some)
				udp.State = sweep.Established
				expect(t, "established udp from "+zone, ask(t, s, udp)[0], "20-22 accept"+rejected)
			}
		}
	}
}

// No packet over lo is the answer to another, and none belongs to what an
// earlier call began: not even where a port is one that packets come from.
func TestNothingIsKept(t *testing.T) {
	s := set(t, `table inet f {
	chain in {
		type filter hook input priority 0;
		ct state invalid drop
		ct state new accept
	}
}
`)
	for _, family := range s.Families() {
		var sweeps []sweep.Sweep
		for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP} {
			sweeps = append(sweeps, every(s, stage.Machine, family, protocol, portset.Range{First: 54290, Last: 54340}))
		}
		invalid := sweeps[0]
		invalid.State = sweep.Invalid
		sweeps = append(sweeps, invalid)
		for range 3 {
			for i, runs := range ask(t, s, sweeps...) {
				want := "54290-54340 accept"
				if sweeps[i].State == sweep.Invalid {
					want = "54290-54340 drop"
				}
				expect(t, string(sweeps[i].State)+" "+string(sweeps[i].Protocol)+" over lo", runs, want)
			}
		}
		ways, err := sweep.Trace(t.Context(), s.Sandbox, s.Sweep, sweeps)
		if err != nil {
			t.Fatal(err)
		}
		if len(ways) != 3*51 {
			t.Errorf("%d ways", len(ways))
		}
		for _, way := range ways {
			if step, found := way.Decision(); !found || step.Handle == 0 {
				t.Errorf("%d: decided by %+v", way.Number, step)
			}
		}
	}
}

// A packet over lo is not the answer to one of another sweep that goes the other
// way.
func TestAnswersNothing(t *testing.T) {
	s := set(t, `table inet f {
	chain in {
		type filter hook input priority 0; policy drop;
		ct state established accept
		th sport 123 accept
	}
}
`)
	for _, family := range s.Families() {
		for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP} {
			way := func(from, to uint16) sweep.Sweep {
				one := every(s, stage.Machine, family, protocol, portset.Range{First: to, Last: to})
				one.SourcePort = from
				return one
			}
			there, back := way(123, 124), way(124, 123)
			if protocol == sweep.TCP {
				back.State = sweep.Invalid // a SYN-ACK
			}
			sweeps := []sweep.Sweep{there, back, way(0, 123), way(123, 54321), way(0, 123)}
			for i, want := range []string{"124 accept", "123 drop", "123 drop", "54321 accept", "123 drop"} {
				expect(t, fmt.Sprint(protocol, " over lo, sweep ", i), ask(t, s, sweeps...)[i], want)
			}
			ways, err := sweep.Trace(t.Context(), s.Sandbox, s.Sweep, sweeps)
			if err != nil {
				t.Fatal(err)
			}
			if step, _ := ways[1].Decision(); len(ways) != len(sweeps) || step.Handle != 0 {
				t.Errorf("%s over lo: %v decides", protocol, step)
			}
		}
	}
}

const burstRules = `table inet f {
	chain in {
		type filter hook input priority 0; policy drop;
		ct state related accept
		th dport 22 limit rate 1/hour burst 5 packets accept
		th dport 23 limit rate over 1/hour burst 7 packets reject
		th dport 23 accept
	}
}
`

// A limit lets the first packets of a burst through and no other.
func TestBurst(t *testing.T) {
	for _, zone := range []string{outside, stage.Machine} {
		for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP} {
			s := set(t, burstRules) // as if nothing had been sent
			one := every(s, zone, sock.IPv4, protocol, portset.Range{First: 22, Last: 22})
			one.Burst = 20
			other := one
			other.Ports = []portset.Range{{First: 23, Last: 23}}
			got := ask(t, s, one, other)
			expect(t, "accepted from "+zone, got[0], "1-5 accept, 6-20 drop")
			expect(t, "rejected from "+zone, got[1], "1-7 accept, 8-20 reject with icmp port-unreachable")
		}
	}
}

// All packets of a burst come from the source port that is asked about, and are
// new; they are traced alike.
func TestBurstFromPort(t *testing.T) {
	for _, zone := range []string{outside, stage.Machine} {
		for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP} {
			s := set(t, `table inet f {
	chain in {
		type filter hook input priority 0; policy drop;
		ct state != new accept
		th sport 65530 th dport 22 limit rate 1/hour burst 600 packets reject
		th sport 65530 th dport 23 limit rate 1/hour burst 500 packets drop
		th sport 65530 limit rate 1/hour burst 700 packets accept
	}
}
`)
			var sweeps []sweep.Sweep
			for port := range uint16(3) {
				one := every(s, zone, sock.IPv4, protocol, portset.Range{First: 22 + port, Last: 22 + port})
				one.Burst, one.SourcePort = 2000, 65530
				sweeps = append(sweeps, one)
			}
			for i, want := range []string{"1-600 reject with icmp port-unreachable, 601-1300 accept, 1301-2000 drop", "1-2000 drop", "1-2000 drop"} {
				expect(t, string(protocol)+" from "+zone, ask(t, s, sweeps[i])[0], want)
			}
			last := sweeps[2]
			last.Burst = 200
			ways, err := sweep.Trace(t.Context(), s.Sandbox, s.Sweep, []sweep.Sweep{last})
			if err != nil {
				t.Fatal(err)
			}
			first := ways[0].Steps
			for _, way := range ways {
				if !slices.Equal(way.Steps, first) {
					t.Errorf("%s from %s, packet %d: %v, and the first %v", protocol, zone, way.Number, way.Steps, first)
				}
			}
		}
	}
}

// The kernel answers a SYN in place of who would.
func TestSynproxy(t *testing.T) {
	s := set(t, "table ip f {\n}\n")
	err := ruleset.LoadFileInto(t.Context(), s.Sandbox, stage.Machine, ruleset.File{Name: "rules", Text: `table ip f {
	chain pre { type filter hook prerouting priority raw; tcp dport 80 tcp flags syn notrack; }
	chain in {
		type filter hook input priority 0; policy drop;
		tcp dport 80 ct state invalid,untracked synproxy mss 1460 wscale 7 timestamp sack-perm
	}
}
`})
	if failed, ok := errors.AsType[*ruleset.FileError](err); ok {
		t.Skip("the kernel has no synproxy: ", failed)
	}
	if err != nil {
		t.Fatal(err)
	}
	got := ask(t, s, every(s, outside, sock.IPv4, sweep.TCP, portset.Range{First: 79, Last: 81}))
	expect(t, "tcp from outside", got[0], "79 drop, 80 accept, 81 drop")
}
