package main

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// golden compares a text with the file under testdata/golden.
func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", "golden", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s differs (-want +got); if that is meant, run the test with -update:\n%s", file, diff)
	}
}

// mapped is a range of ports.
func mapped(first, last uint16, action verdict.Action, kind verdict.Kind, rule int) firewall.Range {
	return firewall.Range{First: first, Last: last, Verdict: verdict.Verdict{Action: action, Kind: kind}, Rule: rule}
}

// mapped4 are maps of a ruleset from outside over IPv4, but for those that are
// given over both families.
func mapped4(tcp ...firewall.Range) *firewall.Maps {
	types := []firewall.Range{mapped(0, 7, verdict.Drop, "", 2), mapped(8, 8, verdict.Accept, "", 3), mapped(9, 255, verdict.Drop, "", 2)}
	return &firewall.Maps{
		SchemaVersion: firewall.MapSchema, Source: "rules.nft",
		Zones: []firewall.Place{{Zone: firewall.Outside, Interface: "eth0"}},
		Maps: []firewall.Map{
			{Zone: firewall.Outside, Protocol: "tcp", Family: "ipv4", Ranges: tcp},
			{Zone: firewall.Outside, Protocol: "tcp", Family: "ipv6", Ranges: tcp},
			{Zone: firewall.Outside, Protocol: "icmp", Family: "ipv4", Ranges: types},
		},
		Rules: []firewall.Rule{
			{Family: "inet", Table: "filter", Chain: "input", Handle: 4, Text: "tcp dport 22 accept", File: "rules.nft", Line: 5},
			{Family: "ip", Table: "nat", Chain: "prerouting", Handle: 2, Text: "tcp dport 80 redirect to :8080 comment \"\x1b[2J\nopened\""},
			{Family: "inet", Table: "filter", Chain: "input", Text: "policy drop"},
			{Family: "inet", Table: "filter", Chain: "input", Handle: 6, Text: "icmp type echo-request accept", File: "rules.nft", Line: 7},
		},
	}
}

func TestMapAsText(t *testing.T) {
	redirected := mapped(80, 80, verdict.Accept, "", 1)
	redirected.Landed = netip.MustParseAddrPort("20.20.20.1:8080")
	m := mapped4(mapped(1, 21, verdict.Drop, "", 2), mapped(22, 22, verdict.Accept, "", 0), mapped(23, 79, verdict.Accept, "", -1), redirected, mapped(81, 65535, verdict.Reject, verdict.TCPReset, 0))
	m.Notes = []string{"decides by chance: numgen \x1b[2J"}
	golden(t, "firewall_map.txt", mapsText(m))
}

func TestMapOfARunningMachineAsText(t *testing.T) {
	golden(t, "firewall_map_live.txt", mapsText(&firewall.Maps{
		Source: firewall.Running,
		Zones:  []firewall.Place{{Zone: "127.0.0.1", Interface: "lo"}},
		Maps:   []firewall.Map{{Zone: "127.0.0.1", Protocol: "tcp", Family: "ipv4", Ranges: []firewall.Range{mapped(1, 21, verdict.Accept, "", -1), mapped(22, 65535, verdict.Reject, "icmp admin-prohibited", -1)}}},
		Notes:  []string{"no rule is named"},
	}))
}

func TestDiffAsText(t *testing.T) {
	base := mapped4(mapped(1, 22, verdict.Accept, "", 0), mapped(23, 80, verdict.Drop, "", 2), mapped(81, 65535, verdict.Accept, "", -1))
	after := mapped4(mapped(1, 21, verdict.Drop, "", 2), mapped(22, 22, verdict.Accept, "", 0), mapped(23, 79, verdict.Reject, verdict.TCPReset, 0), mapped(80, 80, verdict.Accept, "", 1), mapped(81, 65535, verdict.Accept, "", 0))
	after.Maps[2].Ranges = []firewall.Range{mapped(0, 255, verdict.Accept, "", 3)}
	base.Maps = append(base.Maps, firewall.Map{Zone: "wg0\x1b[2J\nopened", Protocol: "udp", Family: "ipv4"})
	after.Maps = append(after.Maps, firewall.Map{Zone: firewall.Outside, Protocol: "udp", Family: "ipv6"})
	golden(t, "firewall_diff.txt", diffText(firewall.Diff(base, after)))
	golden(t, "firewall_diff_none.txt", diffText(firewall.Diff(base, base)))
}

// Of a running machine no rule is known, which is not to say that there is none.
func TestDiffOfARunningMachineAsText(t *testing.T) {
	running := func(action verdict.Action) *firewall.Maps {
		return &firewall.Maps{Source: firewall.Running, Maps: []firewall.Map{{Zone: "::1", Protocol: "tcp", Family: "ipv6", Ranges: []firewall.Range{mapped(1, 65535, action, "", -1)}}}}
	}
	golden(t, "firewall_diff_live.txt", diffText(firewall.Diff(running(verdict.Drop), running(verdict.Accept))))
}
