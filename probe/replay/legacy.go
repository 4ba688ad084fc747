package replay

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
func legacyDrops(ctx context.Context) ([]Meeting, error) {
	var drops []Meeting
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
func savedDrops(family, text string) []Meeting {
	var drops []Meeting
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
		drops = append(drops, Meeting{
			Family: family, Table: table, Base: chain, Chain: chain, Legacy: rule, Dropped: true,
			Packets: []string{fmt.Sprintf("%d packets of the check", packets)}, Count: 1,
		})
	}
	return drops
}

// letsNothingPass says whether a rule's target lets nothing pass.
func letsNothingPass(rule string) bool {
	target := rule[strings.LastIndex(rule, " -j ")+1:]
	return strings.HasPrefix(target, "-j DROP") || strings.HasPrefix(target, "-j REJECT")
}
