package diagnose

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/replay"
	"github.com/loopcheck/loopcheck/probe/ruleset"
)

// netfilterRules is what an Unseen of this finder is about.
const netfilterRules = "netfilter rules"

// netfilter finds the rules that drop or change what the check sends, by trying
// it in a sandbox.
func netfilter(ctx context.Context, s Symptom) Diagnosis {
	if len(s.Flows) == 0 {
		return Diagnosis{}
	}
	rules, err := ruleset.Read(ctx)
	switch {
	case errors.Is(err, errors.ErrUnsupported):
		return Diagnosis{}
	case errors.As(err, new(*ruleset.PermissionError)):
		return unseen("reading them takes CAP_NET_ADMIN: run as root")
	case err != nil:
		return unseen(err.Error())
	}
	if !slices.ContainsFunc(rules.Loopback(), func(h ruleset.Hook) bool { return !h.Idle }) {
		return Diagnosis{}
	}
	var d Diagnosis
	for _, flow := range s.Flows {
		found, err := replay.Through(ctx, rules, flow)
		if err != nil {
			d.Unseen = append(d.Unseen, Unseen{What: netfilterRules, Why: err.Error()})
			break
		}
		if left, some := untried(found.Untried); some && !slices.Contains(d.Unseen, left) {
			d.Unseen = append(d.Unseen, left)
		}
		for _, m := range found.Meetings {
			if s.Suite == containersSuite && !m.Dropped {
				continue // an engine's rules are there to translate
			}
			d.Findings = merged(d.Findings, blame{m}.finding(rules))
		}
	}
	return d
}

// merged adds a finding, or the evidence of one to that of the same cause.
func merged(list []Finding, f Finding) []Finding {
	for i, known := range list {
		if known.Cause.ID != f.Cause.ID {
			continue
		}
		for _, line := range f.Cause.Evidence {
			if !slices.Contains(known.Cause.Evidence, line) {
				list[i].Cause.Evidence = append(list[i].Cause.Evidence, line)
			}
		}
		return list
	}
	return append(list, f)
}

// untried says what of the rules the copy lacked, or had otherwise: a cause may
// be there.
func untried(left []ruleset.Refusal) (Unseen, bool) {
	if len(left) == 0 {
		return Unseen{}, false
	}
	var parts []string
	for i, r := range left {
		if i == shownRefusals {
			parts = append(parts, fmt.Sprintf("and %d more", len(left)-i))
			break
		}
		parts = append(parts, r.String())
	}
	return Unseen{What: "a part of the netfilter rules", Why: "the copy that they are tried in does not have it: " + strings.Join(parts, "; ")}, true
}

// shownRefusals bounds how many of the parts are named.
const shownRefusals = 3

func unseen(why string) Diagnosis {
	return Diagnosis{Unseen: []Unseen{{What: netfilterRules, Why: why}}}
}

// blame is a rule, or a policy, that had an effect on what a check sent.
type blame struct{ replay.Meeting }

// id names the rule, for a Cause.
func (b blame) id() string {
	switch {
	case b.Legacy != "":
		return fmt.Sprintf("iptables-%s-%s-%s", b.Family, b.Table, strings.ReplaceAll(b.Legacy, " ", "-"))
	case b.Handle == 0:
		return fmt.Sprintf("netfilter-%s-%s-%s-policy", b.Family, b.Table, b.Chain)
	}
	return fmt.Sprintf("netfilter-%s-%s-%s-%d", b.Family, b.Table, b.Chain, b.Handle)
}

func (b blame) finding(rules *ruleset.Ruleset) Finding {
	if b.Legacy != "" {
		return b.legacyFinding(rules)
	}
	cause := Cause{ID: b.id(), Evidence: b.evidence()}
	chain := strings.Join([]string{b.Family, quoted(b.Table), quoted(b.Chain)}, " ")
	pass := fmt.Sprintf("nft insert rule %s %s %s %s lo accept", b.Family, quoted(b.Table), quoted(b.Base), b.side(rules))
	if b.Handle == 0 {
		cause.Summary = fmt.Sprintf("The policy of the chain %s drops what is sent over loopback.", chain)
		return Finding{Cause: cause, Remedies: []Remedy{{Command: pass, Cause: cause.ID}}}
	}
	cause.Summary = fmt.Sprintf("A netfilter rule %s what is sent over loopback: %s, handle %d.", b.does(), chain, b.Handle)
	if _, rule, found := rules.Find(b.Family, b.Table, b.Handle); found {
		said := []string{"the rule: " + rule.Text}
		if part := rule.WritesTo(); part != "" {
			said = append(said, "it writes into the "+part)
		}
		cause.Evidence = append(said, cause.Evidence...)
	}
	return Finding{Cause: cause, Remedies: []Remedy{{
		Command: fmt.Sprintf("nft delete rule %s handle %d", chain, b.Handle),
		Cause:   cause.ID,
		Note:    fmt.Sprintf("the rule then holds for nobody any more; to keep it and let loopback pass before it: `%s`", pass),
	}}}
}

// does is the verb for what the rule did to packets.
func (b blame) does() string {
	does := "drops"
	if !b.Dropped {
		does = string(b.Change)
	}
	if b.Partly {
		does += " a part of"
	}
	return does
}

// evidence tells what packets met the rule, and how that was seen.
func (b blame) evidence() []string {
	did := "dropped: "
	if !b.Dropped {
		did = "met it: "
	}
	var lines []string
	for _, packet := range b.Packets {
		lines = append(lines, did+packet)
	}
	if more := b.Count - len(b.Packets); more > 0 {
		lines = append(lines, fmt.Sprintf("and %d more", more))
	}
	how := "seen by packet trace in a sandbox with a copy of this machine's rules"
	if b.Legacy != "" {
		how = "seen by the rule's counter in a sandbox with a copy of this machine's rules"
	}
	if b.Partly {
		how += ", where every limit is taken as exceeded"
	}
	return append(lines, how)
}

// side is the match by which a rule of the base chain tells loopback: where
// packets leave only the interface they leave by is known.
func (b blame) side(rules *ruleset.Ruleset) string {
	if chain, found := rules.Chain(b.Family, b.Table, b.Base); found && chain.Base != nil &&
		(chain.Base.Hook == "output" || chain.Base.Hook == "postrouting" || chain.Base.Hook == "egress") {
		return "oifname"
	}
	return "iifname"
}

// quoted makes a name that somebody else chose safe to be pasted into a shell.
func quoted(name string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_-./", r)
	}
	if name != "" && strings.IndexFunc(name, func(r rune) bool { return !plain(r) }) < 0 {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}
