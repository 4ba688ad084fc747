package firewall

import (
	"slices"
	"testing"
)

// makeOutside maps rules from outside.
func makeOutside(t *testing.T, text string) *Maps {
	t.Helper()
	maps, err := Make(t.Context(), load(t, text), Options{From: []string{Outside}})
	skipRefused(t, err)
	if err != nil {
		t.Fatal(err)
	}
	return maps
}

// decidedAt is the verdict of a TCP port over IPv4, and the text of the rule.
func decidedAt(t *testing.T, maps *Maps, port uint16) string {
	t.Helper()
	m, _ := maps.Find(Outside, "tcp", "ipv4")
	r, found := m.At(port)
	if !found || r.Rule < 0 {
		t.Fatalf("port %d: %s", port, maps.Decided(r))
	}
	return r.Outcome() + ": " + maps.Rules[r.Rule].Text
}

// A copy that a rule sends is not taken for the packet, which goes on.
func TestMapWithCopies(t *testing.T) {
	maps := makeOutside(t, `table ip f {
	chain pre {
		type filter hook prerouting priority 0; policy accept;
		tcp dport 80 dup to 20.20.20.9
		tcp dport 80 drop
		tcp dport 81 drop
	}
}
`)
	for port, want := range map[uint16]string{79: "accept: policy accept", 80: "drop: tcp dport 80 drop", 81: "drop: tcp dport 81 drop"} {
		if got := decidedAt(t, maps, port); got != want {
			t.Errorf("port %d: %s", port, got)
		}
	}
	if !slices.Contains(maps.Notes, "copies that rules send are left out: tcp dport 80 dup to 20.20.20.9") {
		t.Errorf("notes %q", maps.Notes)
	}
}

// Where rules compute with ports each port's own rule is named.
func TestMapOfOddPorts(t *testing.T) {
	maps := makeOutside(t, `table ip f {
	chain input {
		type filter hook input priority 0; policy accept;
		tcp dport & 1 == 1 accept
		meta l4proto tcp @th,16,8 0x20 accept
	}
}
`)
	m, _ := maps.Find(Outside, "tcp", "ipv4")
	wrong := 0
	for _, r := range m.Ranges {
		for port := int(r.First); port <= int(r.Last); port++ {
			want := "policy accept"
			switch {
			case port&1 == 1:
				want = "tcp dport & 1 == 1 accept"
			case port>>8 == 0x20:
				want = "tcp dport 8192/8 accept" // as nft writes it
			}
			if r.Rule < 0 || maps.Rules[r.Rule].Text != want {
				wrong++
			}
		}
	}
	if wrong > 0 {
		t.Errorf("the wrong rule is named for %d ports", wrong)
	}
}
