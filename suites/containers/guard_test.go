package containers

import (
	"testing"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

func TestWhatKeepsNetworksFromLocalhost(t *testing.T) {
	const drop = "ip saddr != 127.0.0.0/8 ip daddr 127.0.0.0/8 counter packets 0 bytes 0 drop"
	chain := func(name, hook, policy string, rules ...string) ruleset.Chain {
		c := ruleset.Chain{Name: name}
		if hook != "" {
			c.Base = &ruleset.Base{Type: "filter", Hook: hook, Policy: policy}
		}
		for _, text := range rules {
			c.Rules = append(c.Rules, ruleset.Rule{Text: text})
		}
		return c
	}
	table := func(family string, chains ...ruleset.Chain) *ruleset.Ruleset {
		return &ruleset.Ruleset{Tables: []ruleset.Table{{Family: family, Name: "t", Chains: chains}}}
	}
	legacy := func(text string) *ruleset.Ruleset {
		return &ruleset.Ruleset{Legacy4: ruleset.Legacy{Save: text}}
	}
	dormant := table("ip", chain("in", "input", "accept", drop))
	dormant.Tables[0].Dormant = true
	for name, c := range map[string]struct {
		rules *ruleset.Ruleset
		want  string
	}{
		"nothing":               {&ruleset.Ruleset{}, ""},
		"input":                 {table("ip", chain("in", "input", "accept", drop)), drop},
		"prerouting of inet":    {table("inet", chain("pre", "prerouting", "accept", drop)), drop},
		"by a jump":             {table("ip", chain("KUBE-FIREWALL", "", "", drop), chain("INPUT", "input", "accept", "counter packets 1 bytes 2 jump KUBE-FIREWALL")), drop},
		"a chain nobody enters": {table("ip", chain("KUBE-FIREWALL", "", "", drop)), ""},
		"output":                {table("ip", chain("out", "output", "accept", drop)), ""},
		"dormant":               {dormant, ""},
		"of a bridge":           {table("bridge", chain("in", "input", "accept", drop)), ""},
		"the source alone":      {table("ip", chain("in", "input", "accept", "ip saddr 127.0.0.0/8 iifname \"eth0\" drop")), ""},
		"another destination":   {table("ip", chain("in", "input", "accept", "ip daddr != 127.0.0.0/8 drop")), ""},
		"let in":                {table("ip", chain("in", "input", "accept", "ip daddr 127.0.0.0/8 accept comment \"never drop\"")), ""},
		"a policy":              {table("inet", chain("in", "input", "drop")), "the policy drop of the chain inet t in"},
		"a policy of forward":   {table("inet", chain("fwd", "forward", "drop")), ""},
		"a policy of IPv6":      {table("ip6", chain("in", "input", "drop")), ""},
		"legacy":                {legacy("*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -d 127.0.0.0/8 ! -i lo -j DROP\nCOMMIT\n"), "-A INPUT -d 127.0.0.0/8 ! -i lo -j DROP"},
		"legacy, by a jump":     {legacy("*filter\n-A INPUT -j K\n-A K ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP\nCOMMIT\n"), "-A K ! -s 127.0.0.0/8 -d 127.0.0.0/8 -j DROP"},
		"legacy, another table": {legacy("*raw\n-A PREROUTING -j K\nCOMMIT\n*filter\n-A K -d 127.0.0.0/8 -j DROP\nCOMMIT\n"), ""},
		"legacy, output":        {legacy("*filter\n-A OUTPUT -d 127.0.0.0/8 -j DROP\nCOMMIT\n"), ""},
		"legacy, another one":   {legacy("*filter\n-A INPUT ! -d 127.0.0.0/8 -j DROP\nCOMMIT\n"), ""},
		"legacy, a policy":      {legacy("*filter\n:INPUT DROP [0:0]\nCOMMIT\n"), "the policy DROP of the chain INPUT of iptables-legacy"},
	} {
		if got := guardOf(c.rules); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
