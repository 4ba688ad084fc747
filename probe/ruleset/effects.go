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

// Attributes of expressions that add to sets.
const (
	dynsetExpression  = 7
	dynsetFlags       = 9
	dynsetExpressions = 10
)

// limits are the expressions that match some of the packets that come to them,
// by how many came before or by chance, and the matches of iptables-nft.
var limits = []string{"limit", "quota", "connlimit", "numgen"}

var limitMatches = []string{"limit", "hashlimit", "connlimit", "quota", "statistic", "recent"}

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

// limitsElement says whether a rule counts by an element of a set that it adds
// what it meets to, as `add @flood { ip saddr limit rate over 10/second }` does.
func (e expression) limitsElement() bool {
	if e.name != "dynset" {
		return false
	}
	_, alone := e.data.Find(dynsetExpression)
	_, several := e.data.Find(dynsetExpressions)
	return alone || several
}

// withoutLimit is an expression that adds to a set without counting.
func (e expression) withoutLimit() ([]byte, error) {
	const counts = 2 // NFT_DYNSET_F_EXPR
	data := e.data.Without(dynsetExpression, dynsetExpressions)
	if flags, found := data.Find(dynsetFlags); found && len(flags) == 4 {
		data = data.WithUint32(dynsetFlags, data.Uint32(dynsetFlags)&^counts)
	}
	encoded, err := data.Encode()
	if err != nil {
		return nil, err
	}
	return nfnl.Attributes{}.With(expressionName, append([]byte(e.name), 0)).With(expressionData, encoded).Encode()
}

// Exceeded is a ruleset in which each limit has been reached: rules that go by
// a rate, a quota, a number of connections or by chance meet every packet that
// they otherwise match, and where they would accept it, none. It says whether
// there is any such rule.
func (r *Ruleset) Exceeded() (exceeded *Ruleset, differs bool) {
	whole := *r
	whole.legacyOrigins = map[legacyRule]string{}
	var differs4, differs6 bool
	whole.Legacy4, differs4 = whole.exceededLegacy("ip", r.Legacy4)
	whole.Legacy6, differs6 = whole.exceededLegacy("ip6", r.Legacy6)
	differs = differs4 || differs6
	whole.Tables = slices.Clone(r.Tables)
	for i := range whole.Tables {
		counting := countingSets(whole.Tables[i].Chains)
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
		// What was counted so far would go on counting.
		whole.Tables[i].Sets = slices.Clone(whole.Tables[i].Sets)
		for j, s := range whole.Tables[i].Sets {
			if slices.Contains(counting, s.Name) {
				whole.Tables[i].Sets[j].Elements = nil
			}
		}
	}
	return &whole, differs
}

// countingSets are those whose elements count what rules add to them.
func countingSets(chains []Chain) []string {
	var names []string
	for _, c := range chains {
		for _, r := range c.Rules {
			a, err := nfnl.Parse(r.Attributes)
			if err != nil {
				continue
			}
			for _, e := range expressions(a) {
				if e.limitsElement() {
					names = append(names, e.data.Text(dynsetSet))
				}
			}
		}
	}
	return names
}

// exceeded is the rule without its limits; nil where such a rule would accept.
func (r Rule) exceeded() (changed *Rule, limited bool) {
	a, err := nfnl.Parse(r.Attributes)
	if err != nil {
		return nil, false
	}
	elements, list := a.Nested(ruleExpressions), expressions(a)
	if len(elements) != len(list) || !slices.ContainsFunc(list, func(e expression) bool { return e.limits() || e.limitsElement() }) {
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
		data := elements[i].Data
		if e.limitsElement() {
			if data, err = e.withoutLimit(); err != nil {
				return nil, false
			}
		}
		kept = append(kept, netlink.Attribute{Type: elements[i].Type, Data: data})
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
