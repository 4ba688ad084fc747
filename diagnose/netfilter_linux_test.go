package diagnose

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/lab/surroundings"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// order is a machine's rules, as shell commands, and a symptom to be diagnosed
// there.
type order struct {
	Setup   []string
	Symptom Symptom
}

// findInside diagnoses in a namespace with rules of its own, and once more
// after the remedies.
var findInside = sandbox.Register("test/find", func(ctx context.Context, _ *sandbox.Inside, o order) (found [2]Diagnosis, err error) {
	if err := shell(o.Setup...); err != nil {
		return found, err
	}
	found[0] = Find(ctx, o.Symptom)
	for _, f := range found[0].Findings {
		for _, r := range f.Remedies {
			if err := shell(r.Command); err != nil {
				return found, err
			}
		}
	}
	found[1] = Find(ctx, o.Symptom)
	return found, nil
})

func shell(commands ...string) error {
	for _, command := range commands {
		if out, err := exec.Command("sh", "-c", command).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", command, err, out)
		}
	}
	return nil
}

// chain is a base chain with rules.
func chain(family, hook, policy string, rules ...string) []string {
	setup := []string{
		fmt.Sprintf("nft add table %s fw", family),
		fmt.Sprintf("nft add chain %s fw %s '{ type filter hook %s priority 0; policy %s; }'", family, hook, hook, policy),
	}
	for _, rule := range rules {
		setup = append(setup, fmt.Sprintf("nft add rule %s fw %s '%s'", family, hook, rule))
	}
	return setup
}

func TestNetfilterRulesAreNamed(t *testing.T) {
	tcp := flowTo("tcp", "127.0.0.1:0")
	for name, c := range map[string]struct {
		needs   string
		setup   []string
		flows   []Flow
		cause   string // its ID; empty where there is none
		says    []string
		command string
	}{
		"RST dropped": {
			setup: chain("inet", "input", "accept", "ct state established counter", "tcp flags & rst == rst drop"), flows: tcp,
			cause: "netfilter-inet-fw-input-3", says: []string{"the rule: tcp flags", "rst|ack, 40 bytes", "packet trace"},
			command: "nft delete rule inet fw input handle 3",
		},
		"SYN rejected in a chain that is jumped to": {
			setup: append(chain("ip", "input", "accept"), "nft add chain ip fw services", "nft add rule ip fw services tcp dport 62893 reject with tcp reset", "nft add rule ip fw input jump services"),
			flows: flowTo("tcp", "127.0.0.1:62893"), cause: "netfilter-ip-fw-services-3", says: []string{"reject with tcp reset", "to 127.0.0.1:62893 syn"},
			command: "nft delete rule ip fw services handle 3",
		},
		"another port rejected": {setup: chain("ip", "input", "accept", "tcp dport 62894 reject"), flows: flowTo("tcp", "127.0.0.1:62893")},
		"policy of output": {
			setup: chain("inet", "output", "drop", "udp dport 53 accept"), flows: tcp,
			cause: "netfilter-inet-fw-output-policy", says: []string{"dropped: tcp 127.0.0.1"}, command: "nft insert rule inet fw output oifname lo accept",
		},
		"policy of input": {
			setup: chain("inet", "input", "drop"), flows: flowTo("udp", "[::1]:0"),
			cause: "netfilter-inet-fw-input-policy", says: []string{"dropped: udp [::1]:"}, command: "nft insert rule inet fw input iifname lo accept",
		},
		"port unreachable lost": {
			setup: chain("inet", "output", "accept", "icmp type destination-unreachable drop"), flows: flowTo("udp", "127.0.0.1:0"),
			cause: "netfilter-inet-fw-output-2", says: []string{"icmp 127.0.0.1 to 127.0.0.1 type 3 code 3"}, command: "nft delete rule inet fw output handle 2",
		},
		"echo dropped before routing": {
			setup: chain("ip6", "prerouting", "accept", "icmpv6 type echo-request drop"), flows: flowTo("icmp", "[::1]:0"),
			cause: "netfilter-ip6-fw-prerouting-2", says: []string{"type 128 code 0"}, command: "nft delete rule ip6 fw prerouting handle 2",
		},
		"long packets dropped": {
			setup: chain("inet", "input", "accept", "meta length gt 1500 drop"), flows: tcp,
			cause: "netfilter-inet-fw-input-2", says: []string{"meta length > 1500"}, command: "nft delete rule inet fw input handle 2",
		},
		"loopback let through first": {setup: chain("inet", "input", "drop", "iifname lo accept"), flows: tcp},
		"no chain on the way":        {setup: chain("inet", "forward", "drop"), flows: tcp},
		"nothing was sent":           {setup: chain("inet", "input", "drop")},
		"another address of the machine": {
			setup: append(chain("ip", "input", "accept", "ip daddr 10.7.7.7 drop"), "ip address add 10.7.7.7/32 dev lo"), flows: flowTo("tcp", "10.7.7.7:0"),
			cause: "netfilter-ip-fw-input-2", says: []string{"to 10.7.7.7:"}, command: "nft delete rule ip fw input handle 2",
		},
		"datagrams sent to another port": {
			setup: []string{"nft add table ip nat", "nft add chain ip nat out '{ type nat hook output priority -100; }'", "nft add rule ip nat out tcp dport 62893 redirect to :9"},
			flows: flowTo("tcp", "127.0.0.1:62893"), cause: "netfilter-ip-nat-out-2", says: []string{"redirect to :9", "met it: tcp"},
			command: "nft delete rule ip nat out handle 2",
		},
		"payload written": {
			setup: chain("inet", "input", "accept", "meta l4proto udp @th,64,8 set 0x42"), flows: flowTo("udp", "127.0.0.1:0"),
			cause: "netfilter-inet-fw-input-2", says: []string{"@th,64,8"}, command: "nft delete rule inet fw input handle 2",
		},
		"option taken away": {
			setup: chain("inet", "output", "accept", "tcp flags syn reset tcp option timestamp"), flows: tcp,
			cause: "netfilter-inet-fw-output-2", says: []string{"reset tcp option timestamp"}, command: "nft delete rule inet fw output handle 2",
		},
		"one in two hundred lost": {
			setup: chain("inet", "input", "accept", "meta l4proto tcp numgen random mod 1000000 < 5 drop"), flows: tcp,
			cause: "netfilter-inet-fw-input-2", says: []string{"numgen random", "every limit is taken as exceeded"}, command: "nft delete rule inet fw input handle 2",
		},
		"beyond a rate": {
			setup: chain("inet", "input", "accept", "tcp flags & (syn|ack) == syn limit rate over 1000/second burst 500 packets drop"), flows: tcp,
			cause: "netfilter-inet-fw-input-2", says: []string{"limit rate over", "syn"}, command: "nft delete rule inet fw input handle 2",
		},
		"within a rate alone": {
			setup: chain("inet", "input", "drop", "meta l4proto tcp accept", "icmp type echo-reply accept", "icmp type echo-request limit rate 1000/second accept"), flows: flowTo("icmp", "127.0.0.1:0"),
			cause: "netfilter-inet-fw-input-policy", says: []string{"every limit is taken as exceeded"}, command: "nft insert rule inet fw input iifname lo accept",
		},
		"a rate of something else": {setup: chain("inet", "input", "accept", "udp dport 53 limit rate over 5/second drop"), flows: tcp},
		"marks":                    {setup: chain("inet", "output", "accept", "meta mark set 1", "ct mark set 2", "counter"), flows: tcp},
		"iptables over nf_tables": {
			needs: "iptables-nft", setup: []string{"iptables-nft -A INPUT -p tcp -m multiport --dports 1:65535 -j DROP"}, flows: tcp,
			cause: "netfilter-ip-filter-INPUT-2", says: []string{"dropped: tcp"}, command: "nft delete rule ip filter INPUT handle 2",
		},
		"iptables-legacy": {
			needs: "iptables-legacy", setup: []string{"iptables-legacy -A OUTPUT -d 127.0.0.0/8 -p udp -j REJECT"}, flows: flowTo("udp", "127.0.0.1:0"),
			cause: "iptables-ip-filter--A-OUTPUT--d-127.0.0.0/8--p-udp--j-REJECT---reject-with-icmp-port-unreachable", says: []string{"-A OUTPUT -d 127.0.0.0/8 -p udp -j REJECT", "counter"},
			command: "iptables-legacy -t filter -D OUTPUT -d 127.0.0.0/8 -p udp -j REJECT --reject-with icmp-port-unreachable",
		},
		"iptables-legacy's policy": {
			needs: "ip6tables-legacy", setup: []string{"ip6tables-legacy -P INPUT DROP"}, flows: flowTo("tcp", "[::1]:0"),
			cause: "iptables-ip6-filter--P-INPUT-DROP", says: []string{"-P INPUT DROP"}, command: "ip6tables-legacy -t filter -A INPUT -i lo -j ACCEPT",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, program := range []string{"nft", "ip", c.needs} {
				if _, err := exec.LookPath(program); program != "" && err != nil {
					t.Skip(err)
				}
			}
			box := sandboxtest.Start(t, sandbox.Config{})
			d, err := findInside.Call(t.Context(), box, "", order{c.setup, Symptom{Check: "TEST-001", Flows: c.flows}})
			if err != nil {
				t.Fatal(err)
			}
			expectOne(t, d[0], c.cause, c.command)
			if c.cause == "" {
				return
			}
			evidence := strings.Join(d[0].Findings[0].Cause.Evidence, "\n")
			for _, want := range c.says {
				if !strings.Contains(evidence, want) {
					t.Errorf("the evidence lacks %q:\n%s", want, evidence)
				}
			}
			if len(d[1].Findings) != 0 || len(d[1].Unseen) != 0 {
				t.Errorf("after the remedy there is still %+v", d[1])
			}
		})
	}
}

// What the copy of the rules lacks is told: the cause may be in it.
func TestNetfilterRulesThatCannotBeTriedAreTold(t *testing.T) {
	for _, program := range []string{"nft", "ip"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skip(err)
		}
	}
	s := sandboxtest.Start(t, sandbox.Config{})
	setup := append(chain("inet", "input", "accept", "tcp dport 1 drop"),
		// The copy has no such interface.
		"ip link add extra0 type veth peer name extra1",
		"nft add table netdev outside",
		"nft add chain netdev outside in '{ type filter hook ingress device extra0 priority 0; }'",
	)
	d, err := findInside.Call(t.Context(), s, "", order{Setup: setup, Symptom: Symptom{Check: "TEST-001", Flows: flowTo("tcp", "127.0.0.1:2")}})
	if err != nil {
		t.Fatal(err)
	}
	if len(d[0].Findings) != 0 || len(d[0].Unseen) != 1 || !strings.Contains(d[0].Unseen[0].Why, "chain netdev outside in") {
		t.Errorf("found %+v", d[0])
	}
}

// Who may not read the rules is told that they were not looked at.
func TestNetfilterUnseen(t *testing.T) {
	surroundings.Everywhere(t, func(t *testing.T, kind surroundings.Kind) {
		d := netfilter(t.Context(), Symptom{Check: "TEST-001", Flows: flowTo("tcp", "127.0.0.1:0")})
		rights, err := process.Read()
		if err != nil {
			t.Fatal(err)
		}
		if may := rights.Effective.Has(process.NetAdmin); may != (len(d.Unseen) == 0) {
			t.Errorf("may read rules: %t; unseen %+v", may, d.Unseen)
		}
		for _, u := range d.Unseen {
			if u.What != netfilterRules || !strings.Contains(u.Why, "CAP_NET_ADMIN") {
				t.Errorf("unseen %+v", u)
			}
		}
	})
}

func TestQuotedNamesAreSafeInAShell(t *testing.T) {
	for _, name := range []string{"fw", "my-table_1.x", "x; touch /tmp/owned", "it's", "$(id)", "", "a b"} {
		out, err := exec.Command("sh", "-c", "printf %s "+quoted(name)).Output()
		if err != nil || string(out) != name {
			t.Errorf("%q became %q, %v", name, out, err)
		}
	}
}
