package routing

import (
	"net/netip"
	"slices"
	"testing"
)

func TestRulesAreJudged(t *testing.T) {
	local := Rule{Priority: 100, Action: "lookup", Table: localTable}
	prefix := netip.MustParsePrefix
	routes := []Route{
		{To: prefix("127.0.0.0/8"), Type: "unicast", Table: 1000, Interface: "tun0"},
		{To: prefix("0.0.0.0/0"), Type: "local", Table: 2004, Interface: "lo"},
		{To: prefix("0.0.0.0/0"), Type: "unicast", Table: 51820, Interface: "wg0"},
		{To: prefix("127.0.0.0/8"), Type: "local", Table: 51821, Interface: "lo"},
		{To: prefix("0.0.0.0/0"), Type: "unicast", Table: 51821, Interface: "wg0"},
	}
	for name, c := range map[string]struct {
		rule Rule
		want []Kind
	}{
		"none before":            {Rule{Priority: 200, Action: "prohibit"}, nil},
		"refuses all":            {Rule{Action: "prohibit"}, []Kind{RefusingRule}},
		"refuses others":         {Rule{Action: "prohibit", To: prefix("192.0.2.0/24")}, nil},
		"refuses another user":   {Rule{Action: "prohibit", byUID: true, uids: [2]uint32{5, 9}}, nil},
		"refuses this user":      {Rule{Action: "prohibit", byUID: true, uids: [2]uint32{0, 9}}, []Kind{RefusingRule}},
		"refuses what comes in":  {Rule{Action: "prohibit", inFace: "eth0"}, nil},
		"diverts":                {Rule{Action: "lookup", Table: 1000, Selectors: []string{"ipproto tcp"}, protocol: 6}, []Kind{DivertingRule}},
		"diverts what is marked": {Rule{Action: "lookup", Table: 1000, marked: true}, nil},
		"local by another table": {Rule{Action: "lookup", Table: 2004}, nil},
		"by a default route":     {Rule{Action: "lookup", Table: 51820, To: prefix("127.0.0.0/8")}, []Kind{DivertingRule}},
		"the longer prefix":      {Rule{Action: "lookup", Table: 51821}, nil},
		"an empty table":         {Rule{Action: "lookup", Table: 7}, nil},
		"main first":             {Rule{Action: "lookup", Table: mainTable}, []Kind{LateLocalRule}},
	} {
		t.Run(name, func(t *testing.T) {
			rules := []Rule{c.rule, local}
			if c.rule.Priority > local.Priority {
				slices.Reverse(rules)
			}
			var got []Kind
			for _, p := range judgeRules(rules, routes, false, 0) {
				got = append(got, p.Kind)
				if p.String() == "" {
					t.Error("it says nothing")
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("found %v, want %v", got, c.want)
			}
		})
	}
	if got := judgeRules(nil, nil, true, 0); len(got) != 1 || got[0].Kind != NoLocalRule {
		t.Errorf("without rules: %v", got)
	}
}
