package ruleset

import (
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Where expressions keep what they write, and what they are called.
const (
	payloadSource  = 5
	objrefKind     = 1
	extensionName  = 1
	immediateTo    = 1
	verdictCode    = 1
	acceptCode     = 1
	verdictTo      = 0
	firstOperand   = 1
	objectKindQuot = 2
	objectKindLim  = 4
)

// translations are the expressions, and the targets of iptables-nft, that send
// a packet elsewhere or make it come from elsewhere.
var translations = []string{"nat", "redir", "masq", "tproxy", "DNAT", "SNAT", "MASQUERADE", "REDIRECT", "NETMAP", "TPROXY"}

// rewriters are targets of iptables-nft that write into packets.
var rewriters = []string{"TCPMSS", "TCPOPTSTRIP", "TTL", "HL", "DSCP", "TOS", "ECN", "CHECKSUM"}

// Change is what a rule does to the packets that it matches, beside deciding
// about them.
type Change string

const (
	// Translates: it gives them another destination or source.
	Translates Change = "translates"
	// Rewrites: it writes into their headers or payload.
	Rewrites Change = "rewrites"
	// Duplicates: it sends a copy of them.
	Duplicates Change = "duplicates"
	// Diverts: it hands them to a program or to another interface.
	Diverts Change = "diverts"
)

// Change says what the rule does to packets; "" where it changes none. Marks,
// priorities and what connection tracking remembers are not in the packet, and
// do not count.
func (r Rule) Change() Change {
	a, err := nfnl.Parse(r.Attributes)
	if err != nil {
		return ""
	}
	for _, e := range expressions(a) {
		if change := e.change(); change != "" {
			return change
		}
	}
	return ""
}

// WritesTo says what part of packets a rule writes into: "link-layer header",
// "network header", "transport header", "payload", or "TCP option"; "" where it
// writes into none, or by a target of iptables.
func (r Rule) WritesTo() string {
	a, err := nfnl.Parse(r.Attributes)
	if err != nil {
		return ""
	}
	bases := []string{"link-layer header", "network header", "transport header", "payload"}
	for _, e := range expressions(a) {
		switch base := e.data.Uint32(payloadBase); {
		case e.change() != Rewrites:
		case e.name == "exthdr":
			return "TCP option"
		case e.name == "payload" && int(base) < len(bases):
			return bases[base]
		}
	}
	return ""
}

func (e expression) change() Change {
	has := func(t uint16) bool { _, found := e.data.Find(t); return found }
	name := e.name
	if name == "target" {
		name = e.data.Text(extensionName)
	}
	switch {
	case slices.Contains(translations, name):
		return Translates
	case name == "payload" && has(payloadSource),
		// Without a target or a source it takes an option away.
		name == "exthdr" && (has(exthdrSource) || !has(exthdrTarget)),
		slices.Contains(rewriters, name):
		return Rewrites
	case name == "dup", name == "TEE":
		return Duplicates
	case name == "fwd", name == "queue", name == "NFQUEUE", name == "synproxy":
		return Diverts
	}
	return ""
}

// limits are the expressions that match some of the packets that come to them,
// by how many came before or by chance, and the matches of iptables-nft.
var limits = []string{"limit", "quota", "connlimit", "numgen"}

var limitMatches = []string{"limit", "hashlimit", "connlimit", "quota", "statistic"}

func (e expression) limits() bool {
	switch e.name {
	case "match":
		return slices.Contains(limitMatches, e.data.Text(extensionName))
	case "objref":
		kind := e.data.Uint32(objrefKind)
		return kind == objectKindQuot || kind == objectKindLim
	}
	return slices.Contains(limits, e.name)
}

// Exceeded is a ruleset in which each limit has been reached: rules that go by
// a rate, a quota, a number of connections or by chance meet every packet that
// they otherwise match, and where they would accept it, none. It says whether
// there is any such rule.
func (r *Ruleset) Exceeded() (exceeded *Ruleset, differs bool) {
	whole := *r
	whole.Tables = slices.Clone(r.Tables)
	for i := range whole.Tables {
		chains := slices.Clone(whole.Tables[i].Chains)
		for j := range chains {
			var rules []Rule
			for _, rule := range chains[j].Rules {
				changed, limited := rule.exceeded()
				differs = differs || limited
				if !limited {
					rules = append(rules, rule)
				} else if changed != nil {
					rules = append(rules, *changed)
				}
			}
			chains[j].Rules = rules
		}
		whole.Tables[i].Chains = chains
	}
	return &whole, differs
}

// exceeded is the rule without its limits; nil where such a rule would accept.
func (r Rule) exceeded() (changed *Rule, limited bool) {
	a, err := nfnl.Parse(r.Attributes)
	if err != nil {
		return nil, false
	}
	elements, list := a.Nested(ruleExpressions), expressions(a)
	if len(elements) != len(list) || !slices.ContainsFunc(list, expression.limits) {
		return nil, false
	}
	if last := list[len(list)-1]; last.accepts() {
		return nil, true
	}
	var kept nfnl.Attributes
	comparing := uint32(0) // the register of a random number, while it is compared
	for i, e := range list {
		if comparing != 0 {
			if e.reads(comparing) {
				if e.name == "lookup" && e.writes() {
					return nil, false // a map of random numbers decides
				}
				continue
			}
			comparing = 0
		}
		if e.limits() {
			if e.name == "numgen" {
				comparing = e.data.Uint32(firstOperand)
			}
			continue
		}
		kept = append(kept, netlink.Attribute{Type: elements[i].Type, Data: elements[i].Data})
	}
	encoded, err := kept.Encode()
	if err != nil {
		return nil, false
	}
	whole, err := a.With(ruleExpressions, encoded).Encode()
	if err != nil {
		return nil, false
	}
	r.Attributes = whole
	return &r, true
}

func (e expression) accepts() bool {
	_, named := e.data.Find(immediateTo)
	verdict := e.data.Nested(immediateData).Nested(dataVerdict)
	return e.name == "immediate" && named && e.data.Uint32(immediateTo) == verdictTo && verdict.Uint32(verdictCode) == acceptCode
}

// reads says whether an expression does nothing but compare a register, or
// prepare it for that.
func (e expression) reads(register uint32) bool {
	switch e.name {
	case "cmp", "range", "byteorder", "bitwise":
		return e.data.Uint32(firstOperand) == register
	case "lookup":
		const lookupSource = 2
		return e.data.Uint32(lookupSource) == register
	}
	return false
}

// writes says that a lookup is one in a map.
func (e expression) writes() bool {
	const lookupTarget = 3
	_, found := e.data.Find(lookupTarget)
	return found
}
