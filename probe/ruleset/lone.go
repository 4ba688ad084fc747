package ruleset

import (
	"encoding/binary"
	"slices"

	"github.com/mdlayher/netlink"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// Attributes of expressions and objects that count packets, and the flag that
// turns each round (NFT_LIMIT_F_INV, NFT_QUOTA_F_INV, NFT_CONNLIMIT_F_INV).
const (
	limitFlags       = 5
	connlimitCount   = 1
	connlimitFlags   = 2
	objectData       = 4
	objrefName       = 2
	extensionInfo    = 3
	flagInverted     = 1
	matchNever       = "never"
	matchAlways      = "always"
	matchOfLoneBytes = 4
)

// Lone is a ruleset that takes each packet for one that comes alone, the first
// of its kind: no limit has been reached, nothing was counted, and no rule
// remembers a packet in a set. What a rule asks of a number of packets it is
// asked no more, where one packet fulfils it, and where one cannot, the rule is
// left out. It says whether there is any such rule.
//
// Rules that decide by chance stay as they are; Chance lists them.
func (r *Ruleset) Lone() (lone *Ruleset, differs bool) {
	lone, counting := r.reduced(false)
	return lone, len(counting) > 0
}

// Counted is Lone, with the rules that no lone packet can match in their places:
// they match what others of its kind would be matched by, and do nothing. Beside
// it are the rules that go by how many packets came before.
func (r *Ruleset) Counted() (counted *Ruleset, counting []RuleID) {
	return r.reduced(true)
}

func (r *Ruleset) reduced(whole bool) (reduced *Ruleset, counting []RuleID) {
	copied := *r
	copied.Tables = slices.Clone(r.Tables)
	for i, t := range copied.Tables {
		chains := slices.Clone(t.Chains)
		for j := range chains {
			var rules []Rule
			for _, rule := range chains[j].Rules {
				changed, differs, matches := rule.lone(t)
				if differs {
					counting = append(counting, RuleID{t.Family, t.Name, rule.Handle})
				}
				if matches || whole {
					rules = append(rules, changed)
				}
			}
			chains[j].Rules = rules
		}
		copied.Tables[i].Chains = chains
	}
	return &copied, counting
}

// Chance are the rules that match some packets at random, or in turn.
func (r *Ruleset) Chance() []Rule {
	var rules []Rule
	for _, rule := range r.All() {
		a, err := nfnl.Parse(rule.Attributes)
		if err == nil && slices.ContainsFunc(expressions(a), expression.byChance) {
			rules = append(rules, rule)
		}
	}
	return rules
}

func (e expression) byChance() bool {
	const keyRandom, hashSeed, hashType, symmetric = 24, 5, 7, 1
	switch e.name {
	case "meta":
		return e.data.Uint32(metaKey) == keyRandom
	case "hash": // whose seed is the kernel's, if it is not given
		_, seeded := e.data.Find(hashSeed)
		return !seeded || e.data.Uint32(hashType) == symmetric
	}
	return e.name == "numgen" || e.name == "match" && e.data.Text(extensionName) == "statistic"
}

// lone is the rule as a lone packet meets it, whether it then is another rule, and
// whether it may match one. Of a rule that never does, what it compares is left,
// and nothing that it does.
func (r Rule) lone(t Table) (changed Rule, differs, matches bool) {
	b, ok := bodyOf(r)
	if !ok {
		return r, false, true
	}
	var kept body
	never := false
	for _, e := range b {
		switch e.ofLone(t) {
		case matchNever:
			never = true
		case matchAlways:
		default:
			kept = append(kept, e)
		}
	}
	if len(kept) == len(b) {
		return r, false, true
	}
	if never {
		kept = kept.comparing()
	}
	if changed, ok = kept.rule(r); !ok {
		return r, false, true
	}
	return changed, true, !never
}

// ofLone says whether an expression that counts packets matches a lone one
// always or never; "" for one that does not count.
func (e expression) ofLone(t Table) string {
	over := func(inverted bool) string {
		if inverted {
			return matchNever
		}
		return matchAlways
	}
	switch e.name {
	case "limit":
		return over(e.data.Uint32(limitFlags)&flagInverted != 0)
	case "quota":
		return over(e.data.Uint32(quotaFlags)&flagInverted != 0)
	case "connlimit":
		inverted := e.data.Uint32(connlimitFlags)&flagInverted != 0
		return over(inverted && e.data.Uint32(connlimitCount) > 0)
	case "objref":
		return e.objectOfLone(t)
	case "dynset":
		return e.dynsetOfLone(t)
	case "match":
		return e.extensionOfLone()
	}
	return ""
}

// objectOfLone is about a named limit or quota.
func (e expression) objectOfLone(t Table) string {
	kind := e.data.Uint32(objrefKind)
	if kind != objectKindQuot && kind != objectKindLim {
		return ""
	}
	name := e.data.Text(objrefName)
	i := slices.IndexFunc(t.Objects, func(o Object) bool { return o.Name == name && o.Type == kind })
	if i < 0 {
		return matchAlways // one of a map: inverted ones are rare
	}
	a, err := nfnl.Parse(t.Objects[i].Attributes)
	if err != nil {
		return ""
	}
	flags := map[uint32]uint16{objectKindQuot: quotaFlags, objectKindLim: limitFlags}[kind]
	if a.Nested(objectData).Uint32(flags)&flagInverted != 0 {
		return matchNever
	}
	return matchAlways
}

// dynsetOfLone is about an element that is added, with what it counts.
func (e expression) dynsetOfLone(t Table) string {
	counts := e.data.Nested(dynsetExpressions)
	if single, found := e.data.Find(dynsetExpression); found {
		counts = append(counts, netlink.Attribute{Type: listElement, Data: single})
	}
	for _, element := range counts {
		a, err := nfnl.Parse(element.Data)
		if err != nil {
			continue
		}
		inner := expression{a.Text(expressionName), a.Nested(expressionData)}
		if inner.ofLone(t) == matchNever {
			return matchNever
		}
	}
	return matchAlways
}

// Flags of iptables' matches, and where they are (linux/netfilter/xt_*.h).
const (
	hashlimitInvert = 1 << 4 // XT_HASHLIMIT_INVERT
	connlimitInvert = 1 << 0 // XT_CONNLIMIT_INVERT
	quotaInvert     = 1 << 0 // XT_QUOTA_INVERT

	recentSet = 1 << 1 // XT_RECENT_SET
)

// extensionOfLone is about a match of iptables.
func (e expression) extensionOfLone() string {
	info, _ := e.data.Find(extensionInfo)
	at := func(offset int) uint32 {
		if len(info) < offset+matchOfLoneBytes {
			return 0
		}
		return binary.NativeEndian.Uint32(info[offset:])
	}
	over := func(inverted bool) string {
		if inverted {
			return matchNever
		}
		return matchAlways
	}
	switch e.data.Text(extensionName) {
	case "limit":
		return matchAlways
	case "hashlimit":
		return over(at(e.hashlimitMode())&hashlimitInvert != 0)
	case "connlimit":
		// The mask of an address, the limit, the flags. It matches what is above.
		above, inverted := at(16) == 0, at(20)&connlimitInvert != 0
		return over(above == inverted)
	case "quota":
		return over(at(0)&quotaInvert != 0)
	case "recent":
		if len(info) < 10 {
			return ""
		}
		does, inverted := info[8], info[9] != 0
		listed := does&recentSet != 0
		return over(listed == inverted)
	}
	return ""
}

// hashlimitMode is where the flags are: behind the list's name in revision 1,
// and behind the rate and burst that follow a longer name in later ones.
func (e expression) hashlimitMode() int {
	const revision, oldName, newName, average = 2, 16, 256, 16
	if e.data.Uint32(revision) >= 2 {
		return newName + average
	}
	return oldName
}
