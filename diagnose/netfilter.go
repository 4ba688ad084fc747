package diagnose

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/loopcheck/loopcheck/probe/nftrace"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// netfilterRules is what an Unseen of this finder is about.
const netfilterRules = "netfilter rules"

// shownPackets bounds how many of the packets that a rule dropped stand in the
// evidence: they are much alike.
const shownPackets = 3

// netfilter finds the rules that drop what the check sends, by trying: a copy
// of this machine's rules is loaded into a sandbox, the check's traffic is sent
// there once more, and the kernel's trace tells which rule dropped a packet. A
// rule that rejects shows as one that drops.
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
	byRule := map[string]*blame{}
	var order []string
	for _, flow := range s.Flows {
		found, err := tried.in(ctx, rules, flow)
		if err != nil {
			d.Unseen = append(d.Unseen, Unseen{What: netfilterRules, Why: err.Error()})
			break
		}
		if left, some := untried(found.untried); some && !slices.Contains(d.Unseen, left) {
			d.Unseen = append(d.Unseen, left)
		}
		for _, drop := range found.drops {
			id := drop.id()
			if byRule[id] == nil {
				byRule[id] = &blame{drop: drop}
				order = append(order, id)
			}
			byRule[id].packets = append(byRule[id].packets, drop.Packet)
		}
	}
	for _, id := range order {
		d.Findings = append(d.Findings, byRule[id].finding(rules))
	}
	return d
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

// tried keeps what was found: many checks send the same, and rules seldom
// change while they run.
var tried = trials{found: map[trial]tryout{}}

type trials struct {
	sync.Mutex
	found map[trial]tryout
}

// tryout is what came of a flow through a copy of the rules.
type tryout struct {
	drops   []drop
	untried []ruleset.Refusal
}

// trial is a flow through rules. nf_tables counts the changes of its own.
type trial struct {
	generation       uint32
	legacy4, legacy6 string
	flow             Flow
}

func (t *trials) in(ctx context.Context, rules *ruleset.Ruleset, flow Flow) (tryout, error) {
	t.Lock()
	defer t.Unlock()
	key := trial{rules.Generation, rules.Legacy4.Save, rules.Legacy6.Save, flow}
	if found, known := t.found[key]; known {
		return found, nil
	}
	found, err := tryIn(ctx, rules, flow)
	if err == nil {
		t.found[key] = found
	}
	return found, err
}

// tryIn sends the flow's traffic through a copy of the rules and returns what
// was dropped, with the rules' own handles.
func tryIn(ctx context.Context, rules *ruleset.Ruleset, flow Flow) (tryout, error) {
	box, err := sandbox.Start(ctx, sandbox.Config{Links: linkFor(flow.To.Addr())})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		return tryout{}, fmt.Errorf("trying them takes private namespaces: %s", refused.How)
	}
	if err != nil {
		return tryout{}, err
	}
	defer box.Close()
	copied, err := ruleset.LoadInto(ctx, box, "", rules)
	if err != nil {
		return tryout{}, fmt.Errorf("a copy to try them in cannot be made: %w", err)
	}
	drops, err := replay.Call(ctx, box, "", flow)
	if err != nil {
		return tryout{}, err
	}
	for i, drop := range drops {
		if drop.Handle == 0 {
			continue
		}
		original, known := copied.Original(drop.Family, drop.Table, drop.Handle)
		if !known {
			return tryout{}, fmt.Errorf("the rule with handle %d of the copy of table %s %s has no original", drop.Handle, drop.Family, drop.Table)
		}
		drops[i].Handle = original
	}
	return tryout{drops, append(copied.Omitted, copied.Changed...)}, nil
}

// linkFor gives the sandbox an address that is not one of lo's, on an interface
// of its own, as it is outside: packets to it go over lo all the same.
func linkFor(addr netip.Addr) []sandbox.Link {
	if addr.IsLoopback() {
		return nil
	}
	return []sandbox.Link{{
		A: sandbox.End{Name: "own0", Addresses: []netip.Prefix{netip.PrefixFrom(addr, addr.BitLen())}},
		B: sandbox.End{Name: "own1"},
	}}
}

// drop is a packet that a rule, or a chain's policy, did not let pass.
type drop struct {
	Family string
	Table  string
	// Base is the chain that the hook led to, Chain the one of the rule.
	Base, Chain string
	// Handle is the rule's; 0 for a policy, and for iptables-legacy.
	Handle uint64
	// Legacy is the rule as iptables-legacy-save writes it.
	Legacy string
	// Packet is what was dropped, in words.
	Packet string
}

// id names the rule, for a Cause.
func (d drop) id() string {
	switch {
	case d.Legacy != "":
		return fmt.Sprintf("iptables-%s-%s-%s", d.Family, d.Table, strings.ReplaceAll(d.Legacy, " ", "-"))
	case d.Handle == 0:
		return fmt.Sprintf("netfilter-%s-%s-%s-policy", d.Family, d.Table, d.Chain)
	}
	return fmt.Sprintf("netfilter-%s-%s-%s-%d", d.Family, d.Table, d.Chain, d.Handle)
}

// replay sends a flow's traffic and returns what was dropped.
var replay = sandbox.Register("diagnose/replay", func(ctx context.Context, _ *sandbox.Inside, flow Flow) ([]drop, error) {
	reader, err := nftrace.Open()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	marking, err := nftrace.Mark()
	if err != nil {
		return nil, err
	}
	defer marking.Close()
	if err := exchange(ctx, flow); err != nil {
		return nil, fmt.Errorf("send what the check sends: %w", err)
	}
	trace, err := reader.Pending()
	if err != nil {
		return nil, err
	}
	var drops []drop
	for _, packet := range trace.Packets {
		if d, dropped := droppedBy(packet); dropped {
			drops = append(drops, d)
		}
	}
	legacy, err := legacyDrops(ctx)
	return append(drops, legacy...), err
})

// droppedBy is the drop that a trace tells of.
func droppedBy(p nftrace.Packet) (drop, bool) {
	by, dropped := p.Dropped()
	if !dropped || len(p.Traversals) == 0 || p.Head == nil {
		return drop{}, false
	}
	return drop{
		Family: by.Family,
		Table:  by.Table,
		Base:   p.Traversals[len(p.Traversals)-1].Chain,
		Chain:  by.Chain,
		Handle: by.Handle,
		Packet: p.Head.Packet.String(),
	}, true
}

// blame is a rule with the packets that it dropped.
type blame struct {
	drop
	packets []string
}

func (b *blame) finding(rules *ruleset.Ruleset) Finding {
	if b.Legacy != "" {
		return b.legacyFinding()
	}
	cause := Cause{ID: b.id(), Evidence: b.evidence()}
	chain := strings.Join([]string{b.Family, quoted(b.Table), quoted(b.Chain)}, " ")
	pass := fmt.Sprintf("nft insert rule %s %s %s %s lo accept", b.Family, quoted(b.Table), quoted(b.Base), b.side(rules))
	if b.Handle == 0 {
		cause.Summary = fmt.Sprintf("The policy of the chain %s drops what is sent over loopback.", chain)
		return Finding{Cause: cause, Remedies: []Remedy{{Command: pass, Cause: cause.ID}}}
	}
	cause.Summary = fmt.Sprintf("A netfilter rule drops what is sent over loopback: %s, handle %d.", chain, b.Handle)
	if _, rule, found := rules.Find(b.Family, b.Table, b.Handle); found {
		cause.Evidence = append([]string{"the rule: " + rule.Text}, cause.Evidence...)
	}
	return Finding{Cause: cause, Remedies: []Remedy{{
		Command: fmt.Sprintf("nft delete rule %s handle %d", chain, b.Handle),
		Cause:   cause.ID,
		Note:    fmt.Sprintf("the rule then holds for nobody any more; to keep it and let loopback pass before it: `%s`", pass),
	}}}
}

// evidence tells what was dropped, and how that was seen.
func (b *blame) evidence() []string {
	var lines []string
	for i, packet := range b.packets {
		if i == shownPackets {
			lines = append(lines, fmt.Sprintf("and %d more", len(b.packets)-i))
			break
		}
		lines = append(lines, "dropped: "+packet)
	}
	how := "seen by packet trace in a sandbox with a copy of this machine's rules"
	if b.Legacy != "" {
		how = "seen by the rule's counter in a sandbox with a copy of this machine's rules"
	}
	return append(lines, how)
}

// side is the match by which a rule of the base chain tells loopback: where
// packets leave only the interface they leave by is known.
func (b *blame) side(rules *ruleset.Ruleset) string {
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
