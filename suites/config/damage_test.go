package config

import (
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

func TestChecksFailInADamagedStack(t *testing.T) {
	cases := map[string]damage.Case{}
	for setting, says := range map[string]string{
		"net.ipv4.tcp_sack=0":                         "one lost segment",
		"net.ipv4.tcp_rmem='4096 4096 4096'":          "a few kilobytes",
		"net.ipv4.ip_local_reserved_ports=1024-65535": "hardly any ephemeral port",
		"net.ipv4.ip_local_port_range='60000 60049'":  "few connections",
		"net.core.somaxconn=1":                        "every listener's queue",
		"net.ipv6.conf.lo.disable_ipv6=1":             "no ::1",
		"net.ipv4.conf.all.route_localnet=1":          "CVE-2020-8558",
		"net.ipv4.tcp_syncookies=0":                   "lets nobody in",
		"net.ipv4.ip_default_ttl=1":                   "first routers",
	} {
		cases[setting] = damage.Case{
			Setup:  []string{"sysctl -qw " + setting},
			Filter: "CFG-001",
			Want:   map[string]string{"CFG-001": says},
		}
	}
	const behind = "ip rule add pref 100 lookup local && ip rule del pref 0"
	for name, c := range map[string]struct {
		setup []string
		says  string
	}{
		"no local rule":          {[]string{"ip rule del pref 0"}, "no routing rule looks up the local table"},
		"local rule after main":  {[]string{"ip rule add pref 40000 lookup local", "ip rule del pref 0"}, "only after the main one"},
		"rule that refuses":      {[]string{behind, "ip rule add pref 50 to 127.0.0.0/8 prohibit"}, "50: from all to 127.0.0.0/8 prohibit"},
		"rule of IPv6":           {[]string{"ip -6 rule add pref 100 lookup local && ip -6 rule del pref 0", "ip -6 rule add pref 50 to ::1 unreachable"}, "to ::1/128 unreachable"},
		"route that refuses":     {[]string{"ip route add blackhole 127.128.0.0/9 table local"}, "blackhole 127.128.0.0/9"},
		"route that is missing":  {[]string{"ip route del local 127.0.0.0/8 dev lo table local"}, "no route \"local 127.0.0.0/8 src 127.0.0.1\""},
		"route of ::1 missing":   {[]string{"ip -6 route del local ::1 dev lo table local"}, "no route \"local ::1\""},
		"route with its own MTU": {[]string{"ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 mtu lock 600"}, "mtu 600"},
		"route with a source":    {[]string{"ip route replace local 127.0.0.0/8 dev lo table local proto kernel scope host src 127.0.0.9"}, "src 127.0.0.9"},
	} {
		cases[name] = damage.Case{Setup: c.setup, Filter: "CFG-002", Want: map[string]string{"CFG-002": c.says}}
	}
	for command, says := range map[string]string{
		"ip link set lo mtu 1500":                                        "MTU is 1500",
		"ip link set lo gso_max_segs 1":                                  "gso_max_segs is 1",
		"ip link set lo gso_max_size 1500":                               "gso_max_size is 1500",
		"tc qdisc add dev lo root tbf rate 8mbit burst 80k latency 50ms": "its queueing discipline is tbf",
	} {
		cases[command] = damage.Case{Setup: []string{command}, Filter: "CFG-003", Want: map[string]string{"CFG-003": says}}
	}
	cases["tracked connections"] = damage.Case{
		Setup: slices.Concat(
			[]string{"nft add table ip nat", "nft add chain ip nat out '{ type nat hook output priority 0; }'"},
			damage.File("/proc/sys/net/netfilter/nf_conntrack_max", "100\n"),
			damage.File("/proc/sys/net/netfilter/nf_conntrack_count", "95\n"),
		),
		Filter: "CFG-005",
		Want:   map[string]string{"CFG-005": "95 of at most 100"},
	}
	for rule, says := range map[string]string{
		"input udp dport != 53 drop":                      "drops it",
		"input meta l4proto icmp ip ttl set 5":            "rewrites it",
		"output tcp flags syn reset tcp option sack-perm": "rewrites it",
	} {
		hook, rest, _ := strings.Cut(rule, " ")
		cases[rule] = damage.Case{
			Setup: []string{
				"nft add table inet fw", "nft add chain inet fw " + hook + " '{ type filter hook " + hook + " priority 0; }'",
				"nft add rule inet fw " + hook + " '" + rest + "'",
			},
			Filter: "CFG-004",
			Want:   map[string]string{"CFG-004": says},
		}
	}
	damage.Table(t, cases)
}

// What VPNs and container networks do to rules without keeping loopback from
// the machine.
func TestRulesOfOthersAreInOrder(t *testing.T) {
	for _, setup := range [][]string{
		{"ip rule add not fwmark 51820 table 51820", "ip rule add table main suppress_prefixlength 0"},
		{"ip rule add pref 100 lookup local", "ip rule del pref 0", "ip rule add pref 9 fwmark 0x200/0xf00 lookup 2004"},
		{"ip rule add pref 200 lookup local", "ip rule del pref 0", "ip rule add pref 50 iif far prohibit", "ip rule add pref 60 to 192.0.2.0/24 blackhole"},
	} {
		if failed := damage.Run(t, setup, "CFG-002"); len(failed) > 0 {
			t.Errorf("%q: %q", setup, failed)
		}
	}
}
