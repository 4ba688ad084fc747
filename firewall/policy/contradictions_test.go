package policy

import (
	"strings"
	"testing"
)

func TestContradictions(t *testing.T) {
	for _, c := range []struct {
		name        string
		one, other  string
		contradicts bool
	}{
		{"one port both ways", "protocol: tcp, ports: 22, verdict: accept", "protocol: tcp, ports: 22, verdict: drop", true},
		{"ranges that overlap", "protocol: tcp, ports: 1-1023, verdict: drop", "protocol: tcp, ports: 1023-2000, verdict: reject", true},
		{"ranges that meet", "protocol: tcp, ports: 1-1023, verdict: drop", "protocol: tcp, ports: 1024-2000, verdict: reject", false},
		{"the same twice", "protocol: tcp, ports: 22, verdict: accept", "protocol: tcp, ports: 22, verdict: accept", false},
		{"another protocol", "protocol: tcp, ports: 53, verdict: accept", "protocol: udp, ports: 53, verdict: drop", false},
		{"another family", "protocol: tcp, ports: 22, family: ipv4, verdict: accept", "protocol: tcp, ports: 22, family: ipv6, verdict: drop", false},
		{"one of both families", "protocol: tcp, ports: 22, verdict: accept", "protocol: tcp, ports: 22, family: ipv6, verdict: drop", true},
		{"another state", "protocol: tcp, ports: 22, verdict: accept", "protocol: tcp, ports: 22, state: invalid, verdict: drop", false},
		{"the first packet and a later", "protocol: udp, ports: 53, verdict: accept", "protocol: udp, ports: 53, packet: 11, verdict: drop", false},
		{"the same later packet", "protocol: udp, ports: 53, packet: 11, verdict: accept", "protocol: udp, ports: 53, packet: 11, verdict: drop", true},
		{"a kind of reject and any", "protocol: tcp, ports: 113, verdict: reject", "protocol: tcp, ports: 113, verdict: reject with tcp-reset", false},
		{"two kinds of reject", "protocol: tcp, ports: 113, verdict: reject with tcp-reset", "protocol: tcp, ports: 113, verdict: reject with icmp port-unreachable", true},
		{"one of two verdicts", "protocol: tcp, ports: 113, verdict: drop or reject", "protocol: tcp, ports: 113, verdict: drop", false},
		{"none of two verdicts", "protocol: tcp, ports: 113, verdict: drop or reject", "protocol: tcp, ports: 113, verdict: accept", true},
		{"a source and the zone's own", "protocol: tcp, ports: 22, source: 10.0.0.0/8, verdict: accept", "protocol: tcp, ports: 22, verdict: drop", false},
		{"sources that overlap", "protocol: tcp, ports: 22, source: 10.0.0.0/8, verdict: accept", "protocol: tcp, ports: 22, source: 10.1.0.0/16, verdict: drop", true},
		{"sources that do not", "protocol: tcp, ports: 22, source: 10.0.0.0/16, verdict: accept", "protocol: tcp, ports: 22, source: 10.1.0.0/16, verdict: drop", false},
		{"destinations that overlap", "protocol: tcp, ports: 22, destination: 192.0.2.7, verdict: accept", "protocol: tcp, ports: 22, destination: 192.0.2.0/24, verdict: drop", true},
		{"another source port", "protocol: udp, ports: 68, source-port: 67, verdict: accept", "protocol: udp, ports: 68, source-port: 68, verdict: drop", false},
		{"a source port and any", "protocol: udp, ports: 68, source-port: 67, verdict: accept", "protocol: udp, ports: 68, verdict: drop", true},
		{"two places to arrive at", `protocol: tcp, ports: 80, arrives: "10.0.0.1:80", verdict: accept`, `protocol: tcp, ports: 80, arrives: "10.0.0.2:80", verdict: accept`, true},
		{"the same place to arrive at", `protocol: tcp, ports: 80, arrives: "10.0.0.1:80", verdict: accept`, `protocol: tcp, ports: 80, arrives: "10.0.0.1:80", verdict: accept`, false},
		{"types of icmp", "protocol: icmpv6, types: [1, 128], verdict: accept", "protocol: icmpv6, types: echo-request, verdict: drop", true},
		{"a type that has the same number", "protocol: icmp, family: ipv4, types: 8, verdict: accept", "protocol: icmpv6, types: 8, verdict: drop", false},
	} {
		content := "rules: a.nft\nexpect:\n- {from: outside, " + c.one + "}\n- {from: outside, " + c.other + "}\n"
		_, err := Parse("policy.yaml", []byte(content))
		switch {
		case !c.contradicts && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.contradicts && (err == nil || !strings.HasPrefix(err.Error(), "policy.yaml:4: it says ") || !strings.Contains(err.Error(), " of packets of which line 3 says ")):
			t.Errorf("%s: got %v", c.name, err)
		}
	}
}

func TestWhatGoesElsewhereDoesNotContradict(t *testing.T) {
	content := `rules: a.nft
zones:
  outside: {interface: eth0}
  lan: {interface: eth1}
expect:
  - {from: outside, protocol: tcp, ports: 22, verdict: accept}
  - {from: lan, protocol: tcp, ports: 22, verdict: drop}
  - {from: outside, to: lan, protocol: tcp, ports: 22, verdict: reject}
  - {from: loopback, protocol: tcp, ports: 22, verdict: drop or accept}
`
	if _, err := Parse("policy.yaml", []byte(content)); err != nil {
		t.Error(err)
	}
}
