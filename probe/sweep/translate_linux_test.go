package sweep_test

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// Where a packet is sent elsewhere, that is where it landed, with its own port
// where that stays.
func TestTranslated(t *testing.T) {
	s := set(t, `table inet f {
	chain pre {
		type nat hook prerouting priority dstnat;
		tcp dport 2222 redirect to :22
		udp dport 5000-5009 redirect to :5300
		meta nfproto ipv4 tcp dport 8080 dnat ip to 10.9.9.9:80
		meta nfproto ipv4 tcp dport 8100-8101 dnat ip to 10.9.9.9
		meta nfproto ipv4 tcp dport 8200 dnat ip to 10.9.9.8
	}
	chain out {
		type nat hook output priority -100;
		oifname "lo" tcp dport 2222 redirect to :22
		oifname "lo" meta nfproto ipv4 udp dport 7000 dnat ip to 10.9.9.9
	}
	chain post {
		type nat hook postrouting priority srcnat;
		masquerade
	}
	chain in { type filter hook input priority 0; policy drop; tcp dport 22 accept; udp dport 5300 accept; }
	chain forward { type filter hook forward priority 0; ip daddr 10.9.9.8 reject with icmp admin-prohibited; }
}
`)
	own := s.Own(outside, sock.IPv4).String()
	got := ask(t, s, every(s, outside, sock.IPv4, sweep.TCP), every(s, outside, sock.IPv4, sweep.UDP), every(s, stage.Machine, sock.IPv4, sweep.TCP),
		every(s, stage.Machine, sock.IPv4, sweep.UDP, portset.Range{First: 7000, Last: 7000}))
	expect(t, "tcp from outside", got[0], "1-21 drop, 22 accept, 23-2221 drop, 2222 accept at "+own+":22, 2223-8079 drop, 8080 accept at 10.9.9.9:80, "+
		"8081-8099 drop, 8100-8101 accept at 10.9.9.9:0, 8102-8199 drop, 8200 reject with icmp admin-prohibited, 8201-65535 drop")
	expect(t, "udp from outside", got[1], "1-4999 drop, 5000-5009 accept at "+own+":5300, 5010-5299 drop, 5300 accept, 5301-65535 drop")
	expect(t, "tcp over lo", got[2], "1-21 drop, 22 accept, 23-2221 drop, 2222 accept at 127.0.0.1:22, 2223-65535 drop")
	expect(t, "to where no route leads", got[3], "7000 drop on its way out")
	if s.WithoutIPv6 == "" {
		own := "[" + s.Own(outside, sock.IPv6).String() + "]"
		six := ask(t, s, every(s, outside, sock.IPv6, sweep.TCP))
		expect(t, "tcp over IPv6", six[0], "1-21 drop, 22 accept, 23-2221 drop, 2222 accept at "+own+":22, 2223-65535 drop")
	}
}

// A packet of a connection goes where the first one of it went.
func TestTranslatedConnections(t *testing.T) {
	s := set(t, `table inet f {
	chain pre {
		type nat hook prerouting priority dstnat;
		meta l4proto { tcp, udp } th dport 2222 redirect to :22
		meta l4proto { tcp, udp } th dport 5000-5009 redirect to :5300
		meta nfproto ipv4 meta l4proto { tcp, udp } th dport 8080 dnat ip to 10.9.9.9:80
		meta nfproto ipv4 meta l4proto { tcp, udp } th dport 8090 dnat ip to 10.9.9.8:80
	}
	chain out {
		type nat hook output priority -100;
		oifname "lo" meta l4proto { tcp, udp } th dport 2222 redirect to :22
	}
	chain post { type nat hook postrouting priority srcnat; oifname != "lo" masquerade; }
	chain in {
		type filter hook input priority 0; policy drop;
		ct state established th dport { 22, 23, 5300 } accept
		ct state related accept
		ct state new th dport 2222 accept
		reject
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		ip daddr 10.9.9.8 reject with icmp admin-prohibited
		ct state established ct status dnat accept
	}
}
`)
	for range 2 {
		for _, protocol := range []sweep.Protocol{sweep.TCP, sweep.UDP} {
			for _, family := range s.Families() {
				for _, zone := range []string{outside, stage.Machine} {
					one := every(s, zone, family, protocol, portset.Range{First: 22, Last: 24}, portset.Range{First: 2222, Last: 2222},
						portset.Range{First: 5000, Last: 5001}, portset.Range{First: 8080, Last: 8080}, portset.Range{First: 8090, Last: 8090})
					one.State = sweep.Established
					own, rejected := s.Own(zone, family), "reject with icmp port-unreachable"
					if family == sock.IPv6 {
						rejected = "reject with icmpv6 port-unreachable"
					}
					want := fmt.Sprintf("22-23 accept, 24 %s, 2222 accept at %s, ", rejected, netip.AddrPortFrom(own, 22))
					if zone == outside {
						want += fmt.Sprintf("5000-5001 accept at %s, ", netip.AddrPortFrom(own, 5300))
					} else {
						want += "5000-5001 " + rejected + ", "
					}
					if zone == outside && family == sock.IPv4 {
						want += "8080 accept at 10.9.9.9:80, 8090 reject with icmp admin-prohibited"
					} else {
						want += "8080 " + rejected + ", 8090 " + rejected
					}
					expect(t, fmt.Sprint(protocol, " from ", zone), ask(t, s, one)[0], want)
					// A connection to where another was sent before.
					first, second := one, one
					first.Ports, second.Ports = []portset.Range{{First: 2222, Last: 2222}}, []portset.Range{{First: 22, Last: 22}}
					expect(t, fmt.Sprint(protocol, " from ", zone, ", later"), ask(t, s, first, second)[1], "22 accept")
					// One between the ports of another, the other way.
					first.SourcePort, second.SourcePort = 54320, 22
					second.Source, second.To, second.Ports = one.To, one.Source, []portset.Range{{First: 54320, Last: 54320}}
					second.Zone = stage.Machine
					ask(t, s, first, second)
					ways, err := sweep.Trace(t.Context(), s.Sandbox, s.Sweep, []sweep.Sweep{one})
					if err != nil {
						t.Fatal(err)
					}
					for _, way := range ways {
						for _, step := range way.Steps {
							if step.Base == "pre" || step.Base == "out" {
								t.Errorf("%s %d from %s met %+v, as a new one does", protocol, way.Number, zone, step)
							}
						}
					}
				}
			}
		}
	}
}
