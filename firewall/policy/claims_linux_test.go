package policy

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// claim is what must not, or must, be said of rules.
type claim struct {
	rules, policy string
	// uses is what coverage says, by the beginning of a rule.
	uses map[string]Use
	// differ are mutants, by the beginning of their rule and their change, that no
	// one may call equivalent.
	differ map[string][]string
}

var claims = map[string]claim{
	"a chain that a packet comes to twice": {
		rules: `	chain common {
		oifname "lo" return
		iifname "lo" tcp dport 25 drop
	}
	chain out {
		type filter hook output priority 0; policy accept;
		jump common
	}
	chain input {
		type filter hook input priority 0; policy accept;
		jump common
	}`,
		policy: `  - {from: outside, protocol: tcp, ports: 1, verdict: accept}`,
		uses:   map[string]Use{`iifname "lo" tcp dport 25`: Untested},
		differ: map[string][]string{`iifname "lo" tcp dport 25`: {"deleted", "drop becomes accept", "the port 25 becomes 26"}},
	},
	"an interface that no rule names": {
		rules: `	chain input {
		type filter hook input priority 0; policy drop;
		iif "lo" accept
		iifname "eth0" tcp dport 22 accept
	}`,
		policy: `  - {from: outside, protocol: tcp, ports: 22, verdict: accept}`,
		uses:   map[string]Use{`iifname "eth0"`: Met},
		differ: map[string][]string{`iifname "eth0"`: {"the match of the interface that it came in through is dropped"}},
	},
	"a rule that stands in for another, but for long packets": {
		rules: `	chain input {
		type filter hook input priority 0; policy drop;
		udp dport 53 accept
		udp dport 53 meta length < 512 accept
	}`,
		policy: `  - {from: outside, protocol: udp, ports: 53, verdict: accept}`,
		uses:   map[string]Use{`udp dport 53 meta length`: Shadowed},
		differ: map[string][]string{`udp dport 53 accept`: {"deleted"}},
	},
	"limits": {
		rules: `	chain input {
		type filter hook input priority 0; policy accept;
		tcp dport 21 ct count over 1000 drop
		tcp dport 22 limit rate over 5/second burst 5 packets drop
		icmp type echo-request limit rate 10/second accept
		icmp type echo-request drop
	}`,
		policy: `  - {from: outside, protocol: tcp, ports: 443, verdict: accept}`,
		uses: map[string]Use{
			`tcp dport 21`: Untested, `tcp dport 22`: Untested,
			`icmp type echo-request limit`: Untested, `icmp type echo-request drop`: Untested,
		},
		differ: map[string][]string{
			`tcp dport 21`: {"deleted", "drop becomes accept", "the port 21 becomes 20"},
			`tcp dport 22`: {"deleted", "the match of the protocol is dropped", "limit is dropped"},
		},
	},
	"a container's address": {
		rules: `	chain input {
		type filter hook input priority 0; policy drop;
	}
	chain forward {
		type filter hook forward priority 0; policy drop;
		iifname "eth0" oifname "docker0" ip daddr 172.17.0.5 tcp dport 80 accept
		iifname "eth0" oifname "docker0" ip daddr 172.17.0.2 tcp dport 81 accept
	}`,
		policy: `  - {from: outside, to: containers, protocol: tcp, ports: 80, destination: 172.17.0.5, verdict: accept}`,
		uses:   map[string]Use{`iifname "eth0" oifname "docker0" ip daddr 172.17.0.5`: Met, `iifname "eth0" oifname "docker0" ip daddr 172.17.0.2`: Untested},
		differ: map[string][]string{`iifname "eth0" oifname "docker0" ip daddr 172.17.0.2`: {"deleted", "accept becomes drop", "the match of the destination address is dropped"}},
	},
	"a mark that was set meanwhile": {
		rules: `	chain input {
		type filter hook input priority 0; policy drop;
		meta mark set 7
		meta mark 0 tcp dport 22 accept
		tcp dport 22 accept
	}`,
		policy: `  - {from: outside, protocol: tcp, ports: 22, verdict: accept}`,
		uses:   map[string]Use{`meta mark 0x00000000`: Dead},
	},
}

func TestClaims(t *testing.T) {
	for name, c := range claims {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			policy := "rules: r.nft\nzones:\n  outside: {interface: eth0}\n  containers: {interface: docker0, machine: 172.17.0.1/16}\nexpect:\n" + c.policy + "\n"
			if !strings.Contains(c.rules, "docker0") {
				policy = "rules: r.nft\nexpect:\n" + c.policy + "\n"
			}
			for file, text := range map[string]string{"r.nft": "table inet f {\n" + c.rules + "\n}\n", "p.yaml": policy} {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			p, rules := load(t, filepath.Join(dir, "p.yaml"))
			cover, err := Cover(t.Context(), p, rules)
			if err != nil {
				t.Fatal(err)
			}
			for beginning, use := range c.uses {
				seen := false
				for _, r := range cover.Rules {
					if !strings.HasPrefix(r.Text, beginning) {
						continue
					}
					seen = true
					if r.Use != use {
						t.Errorf("%s is %s, not %s: %s, behind %v", r.Text, r.Use, use, r.Why, r.Shadows)
					}
					if r.Use == Untested && r.Suggestion == "" && r.Why == "" {
						t.Errorf("%s is untested, and nothing is said about it", r.Text)
					}
				}
				if !seen {
					t.Errorf("there is no rule %s", beginning)
				}
			}
			m, err := Mutate(t.Context(), p, rules, nil)
			if err != nil {
				t.Fatal(err)
			}
			for beginning, changes := range c.differ {
				for _, change := range changes {
					seen := false
					for _, one := range m.Mutants {
						if strings.HasPrefix(one.Rule.Text, beginning) && one.Change == change {
							seen = true
							if one.Fate == Equivalent {
								t.Errorf("%s, %s: is called equivalent", one.Rule.Text, change)
							}
						}
					}
					if !seen {
						t.Errorf("there is no mutant of %s in which %s", beginning, change)
					}
				}
			}
		})
	}
}

// Addresses beside the one that the zone's host has get their answers, too, and
// take nothing from others while they wait for them.
func TestRejectsOfNeighbours(t *testing.T) {
	dir := t.TempDir()
	for file, text := range map[string]string{
		"r.nft": "table inet f {\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop;\n\t\tip saddr 10.8.0.128/25 tcp dport 22 reject with tcp reset\n\t\treject\n\t}\n}\n",
		"p.yaml": `rules: r.nft
zones:
  outside: {interface: eth0}
  vpn: {interface: wg0, machine: 10.8.0.1/24}
expect:
  - {from: vpn, source: 10.8.0.128/25, protocol: tcp, ports: 22, verdict: reject with tcp-reset}
  - {from: vpn, source: 10.8.0.77, protocol: udp, verdict: reject with icmp port-unreachable}
  - {from: outside, protocol: tcp, verdict: reject with icmp port-unreachable, family: ipv4}
`,
	} {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p, rules := load(t, filepath.Join(dir, "p.yaml"))
	for range 3 {
		r, err := Check(t.Context(), p, rules)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range r.Outcomes {
			for _, b := range o.Breaches {
				t.Errorf("%s: %s: %s", o.Name, b.Packet(), b.Verdict())
			}
		}
	}
	c, err := Cover(t.Context(), p, rules)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Rules[0]; got.Use != Met {
		t.Errorf("%s is %s", got.Text, got.Use)
	}
}
