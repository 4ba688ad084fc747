package portscan_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// Of every port of an address, just those that take its packets are open: by a
// listener of its own, of the wildcard address, of both families at once.
func TestWhatListensIsOpenAndNothingElse(t *testing.T) {
	plants := []plant{
		{Kind: sock.TCP, At: "127.0.0.1:22", Backlog: 128},
		{Kind: sock.TCP, At: "0.0.0.0:1", Backlog: 128},
		{Kind: sock.TCP, At: "0.0.0.0:65535", Backlog: 128},
		{Kind: sock.TCP, At: "127.0.0.1:40000", Backlog: 128},
		{Kind: sock.TCP, At: "127.0.0.2:41000", Backlog: 128},
		{Kind: sock.TCP, At: "127.0.0.1:42000", Backlog: -1},
		{Kind: sock.UDP, At: "127.0.0.1:53", Echo: true},
		{Kind: sock.UDP, At: "0.0.0.0:514"},
		{Kind: sock.UDP, At: "0.0.0.0:515", Read: true},
		{Kind: sock.UDP, At: "127.0.0.2:516"},
	}
	tcp := []string{"1 open", "2-21 closed", "22 open", "23-39999 closed", "40000 open", "40001-65534 closed", "65535 open"}
	udp := []string{"1-52 closed", "53 open", "54-513 closed", "514-515 open, answers nothing", "516-65535 closed"}
	want := map[string]map[sock.Kind][]string{"127.0.0.1": {sock.TCP: tcp, sock.UDP: udp}}
	if sandboxtest.HasIPv6() {
		plants = append(plants,
			plant{Kind: sock.TCP, At: "[::1]:80", Backlog: 128},
			plant{Kind: sock.TCP, At: "[::]:8080", Backlog: 128},
			plant{Kind: sock.UDP, At: "[::]:5353"},
		)
		want["127.0.0.1"] = map[sock.Kind][]string{
			sock.TCP: {"1 open", "2-21 closed", "22 open", "23-8079 closed", "8080 open", "8081-39999 closed", "40000 open", "40001-65534 closed", "65535 open"},
			sock.UDP: {"1-52 closed", "53 open", "54-513 closed", "514-515 open, answers nothing", "516-5352 closed", "5353 open, answers nothing", "5354-65535 closed"},
		}
		want["::1"] = map[sock.Kind][]string{
			sock.TCP: {"1-79 closed", "80 open", "81-8079 closed", "8080 open", "8081-65535 closed"},
			sock.UDP: {"1-5352 closed", "5353 open, answers nothing", "5354-65535 closed"},
		}
	}
	s := world(t, plants)
	for addr, kinds := range want {
		for _, e := range engines {
			f := ask(t, s, question{Protocol: e.kind, Addr: addr, Engine: e.engine, Compare: true})
			if f.Engine != e.engine {
				t.Errorf("asked by %s, want %s", f.Engine, e.engine)
			}
			same(t, fmt.Sprintf("%s of %s by %s", e.kind, addr, e.engine), f.Ranges, kinds[e.kind])
			same(t, "disagreements", f.Disagreements, nil)
		}
	}
}

// A firewall's every answer is told from the stack's own, down to the code.
func TestRejectsAreToldByTypeAndCode(t *testing.T) {
	rules := []string{
		"add table inet filter",
		"add chain inet filter input { type filter hook input priority 0; }",
		"add rule inet filter input meta l4proto { tcp, udp } th dport 1000-1999 drop",
		"add rule inet filter input meta nfproto ipv4 meta l4proto { tcp, udp } th dport 2000 reject with icmp type net-unreachable",
		"add rule inet filter input meta nfproto ipv4 meta l4proto { tcp, udp } th dport 2001 reject with icmp type host-unreachable",
		"add rule inet filter input meta nfproto ipv4 meta l4proto { tcp, udp } th dport 2002 reject with icmp type prot-unreachable",
		"add rule inet filter input meta nfproto ipv4 meta l4proto { tcp, udp } th dport 2003 reject with icmp type net-prohibited",
		"add rule inet filter input meta nfproto ipv4 meta l4proto { tcp, udp } th dport 2004 reject with icmp type host-prohibited",
		"add rule inet filter input meta nfproto ipv4 meta l4proto { tcp, udp } th dport 2005 reject with icmp type admin-prohibited",
		"add rule inet filter input meta l4proto tcp meta nfproto ipv4 th dport 2006 reject with icmp type port-unreachable",
		"add rule inet filter input meta l4proto tcp th dport 2007 reject with tcp reset",
		"add rule inet filter input meta nfproto ipv6 meta l4proto { tcp, udp } th dport 2000 reject with icmpv6 type no-route",
		"add rule inet filter input meta nfproto ipv6 meta l4proto { tcp, udp } th dport 2001 reject with icmpv6 type admin-prohibited",
		"add rule inet filter input meta nfproto ipv6 meta l4proto { tcp, udp } th dport 2002 reject with icmpv6 type addr-unreachable",
		"add rule inet filter input meta l4proto tcp meta nfproto ipv6 th dport 2006 reject with icmpv6 type port-unreachable",
	}
	v4 := []string{
		"900-999 closed", "1000-1999 dropped",
		"2000 rejected with icmp net-unreachable (type 3, code 0)",
		"2001 rejected with icmp host-unreachable (type 3, code 1)",
		"2002 rejected with icmp prot-unreachable (type 3, code 2)",
		"2003 rejected with icmp net-prohibited (type 3, code 9)",
		"2004 rejected with icmp host-prohibited (type 3, code 10)",
		"2005 rejected with icmp admin-prohibited (type 3, code 13)",
	}
	v6 := []string{
		"900-999 closed", "1000-1999 dropped",
		"2000 rejected with icmpv6 no-route (type 1, code 0)",
		"2001 rejected with icmpv6 admin-prohibited (type 1, code 1)",
		"2002 rejected with icmpv6 addr-unreachable (type 1, code 3)",
	}
	want := map[string]map[sock.Kind][]string{
		"127.0.0.1": {
			sock.TCP: append(v4[:len(v4):len(v4)], "2006 rejected with icmp port-unreachable (type 3, code 3)", "2007-2100 closed"),
			sock.UDP: append(v4[:len(v4):len(v4)], "2006-2100 closed"),
		},
	}
	if sandboxtest.HasIPv6() {
		want["::1"] = map[sock.Kind][]string{
			sock.TCP: append(v6[:len(v6):len(v6)], "2003-2005 closed", "2006 rejected with icmpv6 port-unreachable (type 1, code 4)", "2007-2100 closed"),
			sock.UDP: append(v6[:len(v6):len(v6)], "2003-2100 closed"),
		}
	}
	s := world(t, nil, rules...)
	for addr, kinds := range want {
		for _, e := range engines {
			f := ask(t, s, question{Protocol: e.kind, Addr: addr, Engine: e.engine, Ports: "900-2100"})
			same(t, fmt.Sprintf("%s of %s by %s", e.kind, addr, e.engine), f.Ranges, kinds[e.kind])
		}
	}
}

// What the kernel does not even send is dropped too, and told so where the
// kernel tells. The rules name the protocols: where ports stand, ICMP has its checksum.
func TestDropsOnTheWayOut(t *testing.T) {
	s := world(t, nil,
		"add table inet filter",
		"add chain inet filter output { type filter hook output priority 0; }",
		"add rule inet filter output meta l4proto { tcp, udp } th dport 5000-5999 drop",
		"add rule inet filter output meta nfproto ipv4 meta l4proto { tcp, udp } th dport 6000-6009 reject with icmp type admin-prohibited",
	)
	refused := "5000-5999 dropped on its way out: operation not permitted"
	rejected := "6000-6009 rejected with icmp admin-prohibited (type 3, code 13)"
	for _, c := range []struct {
		question
		dropped string
	}{
		{question{Protocol: sock.TCP, Engine: portscan.Raw}, refused},
		// A connection's SYN is sent again and again, and nobody told.
		{question{Protocol: sock.TCP, Engine: portscan.Connect}, "5000-5999 dropped"},
		{question{Protocol: sock.UDP, Engine: portscan.Datagram}, refused},
	} {
		c.Addr, c.Ports = "127.0.0.1", "4000-7000"
		f := ask(t, s, c.question)
		same(t, string(c.Engine), f.Ranges, []string{"4000-4999 closed", c.dropped, "6000-6009 " + rejected[10:], "6010-7000 closed"})
	}
}

func TestEverythingDropped(t *testing.T) {
	s := world(t, []plant{{Kind: sock.TCP, At: "127.0.0.1:22", Backlog: 1}, {Kind: sock.UDP, At: "127.0.0.1:53", Echo: true}},
		"add table inet filter",
		"add chain inet filter input { type filter hook input priority 0; policy drop; }",
	)
	for _, e := range engines {
		f := ask(t, s, question{Protocol: e.kind, Addr: "127.0.0.1", Engine: e.engine, Compare: true})
		same(t, string(e.engine), f.Ranges, []string{"1-65535 dropped"})
		want := []string{"hidden 22 dropped, tcp"}
		if e.kind == sock.UDP {
			want = []string{"hidden 53 dropped, udp"}
		}
		same(t, "disagreements by "+string(e.engine), f.Disagreements, want)
	}
}

// A lost packet is no firewall: ports that answer at last are what they answer.
func TestLossIsNotADrop(t *testing.T) {
	s := world(t, []plant{{Kind: sock.TCP, At: "127.0.0.1:8000", Backlog: 128}, {Kind: sock.UDP, At: "127.0.0.1:8000", Echo: true}},
		"add table inet filter",
		"add chain inet filter input { type filter hook input priority 0; }",
		"add rule inet filter input meta l4proto { tcp, udp } th dport 9000-9099 drop",
		"add rule inet filter input numgen random mod 100 < 5 drop",
	)
	// Of all ports one might lose each of its packets, once in two thousand scans.
	for _, e := range engines {
		f := ask(t, s, question{Protocol: e.kind, Addr: "127.0.0.1", Ports: "7000-10000", Engine: e.engine})
		same(t, string(e.engine), f.Ranges, []string{"7000-7999 closed", "8000 open", "8001-8999 closed", "9000-9099 dropped", "9100-10000 closed"})
	}
}

func TestTableAndStackDisagree(t *testing.T) {
	s := world(t, []plant{
		{Kind: sock.TCP, At: "127.0.0.1:1111", Backlog: 128},
		{Kind: sock.TCP, At: "127.0.0.1:2222", Backlog: 128},
		{Kind: sock.TCP, At: "127.0.0.1:4444", Backlog: 128},
		{Kind: sock.TCP, At: "127.0.0.1:6666", Backlog: 128},
		{Kind: sock.UDP, At: "127.0.0.1:1111"},
		{Kind: sock.UDP, At: "127.0.0.1:2222", Read: true},
		{Kind: sock.UDP, At: "127.0.0.1:4444", Echo: true},
		{Kind: sock.UDP, At: "127.0.0.1:6666", Read: true},
	},
		"add table ip nat",
		"add chain ip nat output { type nat hook output priority -100; }",
		"add rule ip nat output tcp dport 3333 redirect to :4444",
		"add rule ip nat output udp dport 3333 redirect to :4444",
		"add table inet filter",
		"add chain inet filter input { type filter hook input priority 0; }",
		"add rule inet filter input meta l4proto { tcp, udp } th dport 1111 drop",
		"add rule inet filter input meta l4proto tcp th dport 2222 reject with tcp reset",
		"add rule inet filter input meta l4proto udp th dport 2222 reject",
	)
	for _, e := range engines {
		f := ask(t, s, question{Protocol: e.kind, Addr: "127.0.0.1", Engine: e.engine, Compare: true})
		same(t, string(e.engine), f.Disagreements, []string{
			fmt.Sprintf("hidden 1111 dropped, %s", e.kind), fmt.Sprintf("hidden 2222 closed, %s", e.kind), "ownerless 3333 open",
		})
	}
}

// A listener that accepts nobody drops SYNs by itself.
func TestAFullBacklogIsNamed(t *testing.T) {
	s := world(t, []plant{{Kind: sock.TCP, At: "127.0.0.1:7777", Backlog: 0}})
	if _, err := fill.Call(t.Context(), s, "", "127.0.0.1:7777"); err != nil {
		t.Fatal(err)
	}
	for _, engine := range []portscan.Engine{portscan.Raw, portscan.Connect} {
		f := ask(t, s, question{Protocol: sock.TCP, Addr: "127.0.0.1", Ports: "7770-7780", Engine: engine, Compare: true})
		same(t, string(engine), f.Disagreements, []string{"hidden 7777 dropped, backlog full, tcp"})
	}
}

var fill = sandbox.Register("portscan/fill", func(ctx context.Context, _ *sandbox.Inside, at string) (struct{}, error) {
	s, err := sock.New(sock.TCP, sock.IPv4)
	if err == nil {
		kept = append(kept, s)
		err = s.Connect(ctx, netip.MustParseAddrPort(at))
	}
	return struct{}{}, err
})

func TestWithoutPrivileges(t *testing.T) {
	s := world(t, []plant{{Kind: sock.TCP, At: "127.0.0.1:22", Backlog: 1}})
	f := ask(t, s, question{Protocol: sock.TCP, Addr: "127.0.0.1", Ports: "20-30", Unprivileged: true})
	if f.Engine != portscan.Connect {
		t.Errorf("asked by %s, want connect", f.Engine)
	}
	same(t, "connect", f.Ranges, []string{"20-21 closed", "22 open", "23-30 closed"})
	_, err := scan.Call(t.Context(), s, "", question{Protocol: sock.TCP, Addr: "127.0.0.1", Engine: portscan.Raw, Unprivileged: true})
	if err == nil || !strings.Contains(err.Error(), "the raw engine needs CAP_NET_RAW") {
		t.Errorf("raw without CAP_NET_RAW: %v", err)
	}
}

// Where the kernel has few ports to choose from, fewer sockets do.
func TestFewEphemeralPorts(t *testing.T) {
	defer sandbox.Damage("sysctl -qw net.ipv4.ip_local_port_range='40000 40003'")()
	s := world(t, []plant{{Kind: sock.TCP, At: "127.0.0.1:22", Backlog: 128}, {Kind: sock.UDP, At: "127.0.0.1:22", Echo: true}})
	for _, e := range engines {
		f := ask(t, s, question{Protocol: e.kind, Addr: "127.0.0.1", Engine: e.engine})
		same(t, string(e.engine), f.Ranges, []string{"1-21 closed", "22 open", "23-65535 closed"})
	}
}

// A scan over UDP must not fill the table of tracked connections.
func TestConntrackHasRoom(t *testing.T) {
	s := world(t, []plant{{Kind: sock.UDP, At: "127.0.0.1:22", Echo: true}},
		"add table inet filter",
		"add chain inet filter input { type filter hook input priority 0; }",
		"add rule inet filter input ct state invalid counter",
	)
	limits, err := trackedConnections.Call(t.Context(), s, "", struct{}{})
	if err != nil || limits[1] > 300_000 {
		t.Skipf("the table is too large to be filled here: %v, %v", limits, err)
	}
	// Each scan keeps 65,535 entries, for longer than all of them take.
	for range 5 {
		f, err := scan.Call(t.Context(), s, "", question{Protocol: sock.UDP, Addr: "127.0.0.1"})
		if err == nil {
			same(t, "udp", f.Ranges, []string{"1-21 closed", "22 open", "23-65535 closed"})
			continue
		}
		if !strings.Contains(err.Error(), "the connection tracking table has room for") {
			t.Error(err)
		}
		return
	}
	t.Error("five scans were let fill the table")
}

var trackedConnections = sandbox.Register("portscan/tracked", func(context.Context, *sandbox.Inside, struct{}) (counts [2]int, err error) {
	for _, name := range []string{"nf_conntrack_udp_timeout", "nf_conntrack_udp_timeout_stream"} {
		if err := sysctl.Set("net.netfilter."+name, "600"); err != nil {
			return counts, err
		}
	}
	for i, name := range []string{"nf_conntrack_count", "nf_conntrack_max"} {
		text, err := sysctl.Read("net.netfilter." + name)
		if err != nil {
			return counts, err
		}
		if counts[i], err = strconv.Atoi(text); err != nil {
			return counts, err
		}
	}
	return counts, nil
})

func TestOnlyTheMachinesOwnAddresses(t *testing.T) {
	for _, addr := range []string{"0.0.0.0", "::", "224.0.0.1", "ff02::1", "198.51.100.7", "2001:db8:dead::1", "255.255.255.255"} {
		_, err := portscan.Scan(t.Context(), portscan.Options{Addr: netip.MustParseAddr(addr), Ports: portset.Ports(1)})
		if _, ok := errors.AsType[*portscan.NotOwnError](err); !ok {
			t.Errorf("%s: %v, want a NotOwnError", addr, err)
		}
	}
}

func TestTheEndOfTheContextEndsTheScan(t *testing.T) {
	before := descriptors(t)
	for _, e := range engines {
		ctx, cancel := context.WithCancel(t.Context())
		_, err := portscan.Scan(ctx, portscan.Options{
			Protocol: e.kind, Addr: netip.MustParseAddr("127.0.0.1"), Engine: e.engine,
			Ports: portset.Of(portset.Range{First: 1, Last: 20000}),
			// The first ports asked end it, when it is under way for certain.
			Progress: func(int) { cancel() },
		})
		cancel()
		if _, notAllowed := errors.AsType[*portscan.NotAllowedError](err); !notAllowed && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v, want context.Canceled", e.engine, err)
		}
	}
	if after := descriptors(t); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func descriptors(t *testing.T) int {
	t.Helper()
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(open)
}

func BenchmarkScan(b *testing.B) {
	for _, e := range engines {
		b.Run(string(e.engine), func(b *testing.B) {
			for b.Loop() {
				if _, err := portscan.Scan(b.Context(), portscan.Options{Protocol: e.kind, Addr: netip.MustParseAddr("127.0.0.1"), Engine: e.engine}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed()/time.Duration(b.N))/65535, "ns/port")
		})
	}
}
