package diagnose

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/iface"
)

func TestDeviceCauses(t *testing.T) {
	made := iface.Link{Name: "lo", Up: true, MTUBytes: loMTU, Qdisc: loQdisc, GSOMaxSegments: loGSOSegments, GSOMaxBytes: loGSOBytes}
	changed := func(change func(*iface.Link)) iface.Link { l := made; change(&l); return l }
	narrow := soundLoopback
	narrow.addresses = []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128")}
	anycast := soundLoopback
	anycast.addresses = append([]netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, netip.MustParsePrefix("127.0.0.53/8"))
	look := Symptom{Check: "CFG-003"}
	for name, c := range map[string]struct {
		lo       loopback
		link     iface.Link
		symptom  Symptom
		cause    string
		commands string
	}{
		"as made":           {soundLoopback, made, look, "", ""},
		"small MTU":         {soundLoopback, changed(func(l *iface.Link) { l.MTUBytes = 1500 }), look, "lo-mtu", "ip link set dev lo mtu 65536"},
		"MTU without IPv6":  {soundLoopback, changed(func(l *iface.Link) { l.MTUBytes = 600 }), Symptom{Check: "PING-018", Missing: "IPv6 loopback"}, "lo-mtu", "ip link set dev lo mtu 65536 && ip address add ::1/128 dev lo"},
		"MTU of no matter":  {soundLoopback, changed(func(l *iface.Link) { l.MTUBytes = 1500 }), Symptom{Check: "TCP-001", Message: "refused"}, "", ""},
		"queue":             {soundLoopback, changed(func(l *iface.Link) { l.Qdisc = "htb" }), look, "lo-qdisc-htb", "tc qdisc del dev lo root"},
		"queue and timeout": {soundLoopback, changed(func(l *iface.Link) { l.Qdisc = "htb" }), Symptom{Check: "TCP-031", Message: "context deadline exceeded"}, "lo-qdisc-htb", "tc qdisc del dev lo root"},
		"queue, refused":    {soundLoopback, changed(func(l *iface.Link) { l.Qdisc = "htb" }), Symptom{Check: "TCP-031", Message: "connection refused"}, "", ""},
		"one segment":       {soundLoopback, changed(func(l *iface.Link) { l.GSOMaxSegments = 1 }), look, "lo-gso", "ip link set dev lo gso_max_segs 65535 gso_max_size 65536"},
		"narrow prefix":     {narrow, made, Symptom{Check: "PING-002", Flows: flowTo("icmp", "127.255.255.254:0")}, "lo-prefix", "ip address add 127.0.0.1/8 dev lo && ip address del 127.0.0.1/32 dev lo"},
		"narrow, 127.0.0.1": {narrow, made, Symptom{Check: "PING-001", Flows: flowTo("icmp", "127.0.0.1:0")}, "", ""},
		"narrow and wide":   {anycast, made, Symptom{Check: "PING-002", Flows: flowTo("icmp", "127.255.255.254:0")}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{settings: map[string]string{"net.ipv6.conf.all.disable_ipv6": "0"}})
			realLoopback, realLink := readLoopback, readLink
			t.Cleanup(func() { readLoopback, readLink = realLoopback, realLink })
			readLoopback = func() (loopback, error) { return c.lo, nil }
			readLink = func() (iface.Link, error) { return c.link, nil }
			d := loopbackDevice(t.Context(), c.symptom)
			if c.cause == "" {
				if len(d.Findings) != 0 {
					t.Errorf("found %+v", d.Findings)
				}
				return
			}
			if len(d.Findings) != 1 || d.Findings[0].Cause.ID != c.cause {
				t.Fatalf("found %+v, want %s", d.Findings, c.cause)
			}
			var commands []string
			for _, r := range d.Findings[0].Remedies {
				commands = append(commands, r.Command)
			}
			if got := strings.Join(commands, ";"); got != c.commands {
				t.Errorf("remedies %q, want %q", got, c.commands)
			}
		})
	}
}

func flowTo(protocol, addr string) []Flow {
	return []Flow{{Protocol: protocol, To: netip.MustParseAddrPort(addr)}}
}
