package firewall

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
)

// modelRule is a rule of a random ruleset. What is zero it does not look at.
type modelRule struct {
	in       string // the interface's name
	family   string // ip or ip6
	protocol string // tcp or udp
	ports    []modelRange
	not      bool // the ports are those that it does not match
	does     string
	jump     int // the chain, where does is jump or goto
}

type modelRange struct{ first, last int }

// modelChain is a chain of a random ruleset; the first is the base chain.
type modelChain struct {
	rules []modelRule
}

// model is a random ruleset, and what it does by a reading of its own.
type model struct {
	policy string
	chains []modelChain
}

var modelVerdicts = []string{"accept", "drop", "reject", "reject with tcp reset", "reject with icmpx type admin-prohibited", "reject with icmpx type no-route", "jump", "goto", "return", "counter"}

func newModel(r *rand.Rand) model {
	m := model{policy: []string{"accept", "drop"}[r.IntN(2)], chains: make([]modelChain, 1+r.IntN(3))}
	for i := range m.chains {
		for range 1 + r.IntN(12) {
			m.chains[i].rules = append(m.chains[i].rules, newModelRule(r, i, len(m.chains)))
		}
	}
	return m
}

func newModelRule(r *rand.Rand, chain, chains int) modelRule {
	one := modelRule{
		in:       []string{"", "", "", "eth0", "lo", "lan0"}[r.IntN(6)],
		family:   []string{"", "", "", "ip", "ip6"}[r.IntN(5)],
		protocol: []string{"", "tcp", "udp", "tcp", "udp"}[r.IntN(5)],
		does:     modelVerdicts[r.IntN(len(modelVerdicts))],
	}
	if one.protocol != "" && r.IntN(4) > 0 {
		for range []int{1, 1, 1, 2, 5}[r.IntN(5)] {
			first := 1 + r.IntN(65535)
			last := min(first+[]int{0, 0, 1, 10, 1000, 30000}[r.IntN(6)], 65535)
			// nft takes no two that overlap.
			apart := !slices.ContainsFunc(one.ports, func(p modelRange) bool { return first <= p.last+1 && p.first <= last+1 })
			if apart {
				one.ports = append(one.ports, modelRange{first, last})
			}
		}
		one.not = r.IntN(6) == 0
	}
	if one.does == "reject with tcp reset" {
		one.protocol, one.ports = "tcp", one.ports[:len(one.ports):len(one.ports)]
	}
	if one.does == "jump" || one.does == "goto" {
		if chain+1 >= chains {
			one.does = "drop"
		} else {
			one.jump = chain + 1 + r.IntN(chains-chain-1)
		}
	}
	// A rule without any condition would hide the rest.
	if one.in == "" && one.family == "" && one.protocol == "" && one.does != "counter" {
		one.protocol = "udp"
	}
	return one
}

// String is the ruleset as nft reads it.
func (m model) String() string {
	var b strings.Builder
	b.WriteString("table inet model {\n")
	for i := len(m.chains) - 1; i >= 0; i-- {
		fmt.Fprintf(&b, "\tchain c%d {\n", i)
		if i == 0 {
			fmt.Fprintf(&b, "\t\ttype filter hook input priority 0; policy %s;\n\t\tct state established,related accept\n", m.policy)
		}
		for _, r := range m.chains[i].rules {
			fmt.Fprintf(&b, "\t\t%s\n", r)
		}
		b.WriteString("\t}\n")
	}
	b.WriteString("}\n")
	return b.String()
}

func (r modelRule) String() string {
	var words []string
	if r.in != "" {
		words = append(words, fmt.Sprintf("iifname %q", r.in))
	}
	if r.family != "" {
		words = append(words, "meta nfproto "+map[string]string{"ip": "ipv4", "ip6": "ipv6"}[r.family])
	}
	switch {
	case len(r.ports) > 0:
		var ranges []string
		for _, p := range r.ports {
			if p.first == p.last {
				ranges = append(ranges, fmt.Sprint(p.first))
			} else {
				ranges = append(ranges, fmt.Sprintf("%d-%d", p.first, p.last))
			}
		}
		words = append(words, r.protocol+" dport")
		if r.not {
			words = append(words, "!=")
		}
		if len(ranges) == 1 {
			words = append(words, ranges[0])
		} else {
			words = append(words, "{ "+strings.Join(ranges, ", ")+" }")
		}
	case r.protocol != "":
		words = append(words, "meta l4proto "+r.protocol)
	}
	if r.does == "jump" || r.does == "goto" {
		return strings.Join(append(words, fmt.Sprintf("%s c%d", r.does, r.jump)), " ")
	}
	return strings.Join(append(words, r.does), " ")
}

// verdict is what becomes of a packet, in the words of verdict.Verdict.
func (m model) verdict(in, protocol, family string, port int) string {
	does := m.walk(0, in, protocol, family, port)
	if does == "" {
		does = m.policy
	}
	four := family == "ipv4"
	pick := func(a, b string) string {
		if four {
			return "reject with icmp " + a
		}
		return "reject with icmpv6 " + b
	}
	switch does {
	case "reject":
		return pick("port-unreachable", "port-unreachable")
	case "reject with icmpx type admin-prohibited":
		return pick("admin-prohibited", "admin-prohibited")
	case "reject with icmpx type no-route":
		return pick("net-unreachable", "no-route")
	case "reject with tcp reset":
		return "reject with tcp-reset"
	}
	return does
}

// walk is the verdict of a chain; "" where it says nothing.
func (m model) walk(chain int, in, protocol, family string, port int) string {
	for _, r := range m.chains[chain].rules {
		if !r.matches(in, protocol, family, port) {
			continue
		}
		switch r.does {
		case "counter":
		case "return":
			return ""
		case "jump":
			if does := m.walk(r.jump, in, protocol, family, port); does != "" {
				return does
			}
		case "goto":
			return m.walk(r.jump, in, protocol, family, port)
		default:
			return r.does
		}
	}
	return ""
}

func (r modelRule) matches(in, protocol, family string, port int) bool {
	if r.in != "" && r.in != in || r.protocol != "" && r.protocol != protocol || r.family == "ip" && family != "ipv4" || r.family == "ip6" && family != "ipv6" {
		return false
	}
	if len(r.ports) == 0 {
		return true
	}
	within := false
	for _, p := range r.ports {
		within = within || p.first <= port && port <= p.last
	}
	return within != r.not
}
