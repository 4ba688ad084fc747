package ruleset

import (
	"strings"
	"testing"
)

func TestRulesOfIptablesWithoutTheirLimits(t *testing.T) {
	const save = `*filter
:INPUT ACCEPT [0:0]
-A INPUT -p udp -m statistic --mode random --probability 0.05 -j DROP
-A INPUT -p tcp -m tcp --dport 22 -m connlimit ! --connlimit-upto 20 --connlimit-mask 32 -m comment --comment "many" -j REJECT --reject-with tcp-reset
-A INPUT -p icmp -m limit --limit 5/sec -j ACCEPT
-A INPUT -p icmp -j DROP
-A INPUT -m recent --update --seconds 10 -g shut
COMMIT
`
	r := &Ruleset{Legacy4: Legacy{Save: save}}
	exceeded, differs := r.Exceeded()
	if !differs {
		t.Fatal("no limit was found")
	}
	want := []string{
		"*filter", ":INPUT ACCEPT [0:0]", "-A INPUT -p udp -j DROP",
		`-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "many" -j REJECT --reject-with tcp-reset`,
		"-A INPUT -p icmp -j DROP", "-A INPUT -g shut", "COMMIT",
	}
	if got := strings.TrimSpace(exceeded.Legacy4.Save); got != strings.Join(want, "\n") {
		t.Errorf("got\n%s", got)
	}
	if r.Legacy4.Save != save {
		t.Error("the original was changed")
	}
	for changed, origin := range map[string]string{
		"-A INPUT -p udp -j DROP":  "-A INPUT -p udp -m statistic --mode random --probability 0.05 -j DROP",
		"-A INPUT -p icmp -j DROP": "-A INPUT -p icmp -j DROP",
	} {
		if got := exceeded.LegacyOrigin("ip", "filter", changed); got != origin {
			t.Errorf("%q was made of %q", changed, got)
		}
	}
}

func TestWhatTargetsOfIptablesChange(t *testing.T) {
	for target, want := range map[string]Change{"DNAT": Translates, "TTL": Rewrites, "TEE": Duplicates, "NFQUEUE": Diverts, "ACCEPT": "", "LOG": ""} {
		if got := TargetChange(target); got != want {
			t.Errorf("%s: %q, want %q", target, got, want)
		}
	}
}
