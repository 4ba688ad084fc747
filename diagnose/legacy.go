package diagnose

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// legacyTools are the programs of iptables-legacy, which no trace of nf_tables
// shows: there the counters of a copy that was empty before tell which rule
// dropped something.
var legacyTools = []struct{ family, names, save, change string }{
	{"ip", "/proc/thread-self/net/ip_tables_names", "iptables-legacy-save", "iptables-legacy"},
	{"ip6", "/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy-save", "ip6tables-legacy"},
}

// legacyDrops are the rules and policies of this namespace that have dropped
// something. Where no table is in use the programs are not run: they would make
// one.
func legacyDrops(ctx context.Context) ([]drop, error) {
	var drops []drop
	for _, tool := range legacyTools {
		if names, err := os.ReadFile(tool.names); err != nil || len(strings.TrimSpace(string(names))) == 0 {
			continue
		}
		out, err := exec.CommandContext(ctx, tool.save, "-c").Output()
		if errors.Is(err, exec.ErrNotFound) {
			continue // the copy has no rules of theirs without it
		}
		if err != nil {
			return drops, fmt.Errorf("%s: %w", tool.save, err)
		}
		drops = append(drops, savedDrops(tool.family, string(out))...)
	}
	return drops, nil
}

// savedDrops reads what iptables-save -c writes: "*table", ":CHAIN POLICY
// [packets:bytes]", "[packets:bytes] -A CHAIN …".
func savedDrops(family, text string) []drop {
	var drops []drop
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, isTable := strings.CutPrefix(line, "*"); isTable {
			table = name
			continue
		}
		var counter, rule, chain string
		if policy, isPolicy := strings.CutPrefix(line, ":"); isPolicy {
			fields := strings.Fields(policy)
			if len(fields) != 3 || fields[1] != "DROP" {
				continue
			}
			chain, counter, rule = fields[0], fields[2], "-P "+fields[0]+" DROP"
		} else {
			counter, rule, _ = strings.Cut(line, " ")
			rest, isRule := strings.CutPrefix(rule, "-A ")
			if !isRule || !letsNothingPass(rule) {
				continue
			}
			chain, _, _ = strings.Cut(rest, " ")
		}
		count, _, _ := strings.Cut(strings.TrimPrefix(counter, "["), ":")
		packets, err := strconv.ParseUint(count, 10, 64)
		if err != nil || packets == 0 {
			continue
		}
		drops = append(drops, drop{
			Family: family, Table: table, Base: chain, Chain: chain, Legacy: rule,
			Packet: fmt.Sprintf("%d packets of the check", packets),
		})
	}
	return drops
}

// letsNothingPass says whether a rule's target lets nothing pass.
func letsNothingPass(rule string) bool {
	target := rule[strings.LastIndex(rule, " -j ")+1:]
	return strings.HasPrefix(target, "-j DROP") || strings.HasPrefix(target, "-j REJECT")
}

func (b *blame) legacyFinding() Finding {
	change := "iptables-legacy"
	if b.Family == "ip6" {
		change = "ip6tables-legacy"
	}
	cause := Cause{
		ID:       b.id(),
		Summary:  fmt.Sprintf("A rule of %s drops what is sent over loopback, in chain %s of table %s.", change, b.Chain, b.Table),
		Evidence: append([]string{"the rule: " + b.Legacy}, b.evidence()...),
	}
	remedy := Remedy{
		Command: fmt.Sprintf("%s -t %s -D %s", change, b.Table, strings.TrimPrefix(b.Legacy, "-A ")),
		Cause:   cause.ID,
		Note: fmt.Sprintf("the rule then holds for nobody any more; to keep it and let loopback pass before it: `%s -t %s -I %s %s lo -j ACCEPT`",
			change, b.Table, b.Chain, legacySide(b.Chain)),
	}
	if strings.HasPrefix(b.Legacy, "-P ") {
		cause.Summary = fmt.Sprintf("The policy of chain %s in table %s of %s drops what is sent over loopback.", b.Chain, b.Table, change)
		remedy = Remedy{
			Command: fmt.Sprintf("%s -t %s -A %s %s lo -j ACCEPT", change, b.Table, b.Chain, legacySide(b.Chain)),
			Cause:   cause.ID,
		}
	}
	return Finding{Cause: cause, Remedies: []Remedy{remedy}}
}

// legacySide is the option by which a rule tells loopback in a built-in chain.
func legacySide(chain string) string {
	if chain == "OUTPUT" || chain == "POSTROUTING" {
		return "-o"
	}
	return "-i"
}
