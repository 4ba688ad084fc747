package replay

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/probe/ruleset"
)

// legacyTools are the programs of iptables-legacy, which no trace of nf_tables
// shows: there the counters of a copy that was empty before tell which rule
// dropped something.
var legacyTools = []struct{ family, names, save, change string }{
	{"ip", "/proc/thread-self/net/ip_tables_names", "iptables-legacy-save", "iptables-legacy"},
	{"ip6", "/proc/thread-self/net/ip6_tables_names", "ip6tables-legacy-save", "ip6tables-legacy"},
}

// legacyMeetings are the rules and policies of this namespace that have dropped
// or changed something. Where no table is in use the programs are not run: they would make
// one.
func legacyMeetings(ctx context.Context) ([]Meeting, error) {
	var met []Meeting
	for _, tool := range legacyTools {
		if names, err := os.ReadFile(tool.names); err != nil || len(strings.TrimSpace(string(names))) == 0 {
			continue
		}
		out, err := exec.CommandContext(ctx, tool.save, "-c").Output()
		if errors.Is(err, exec.ErrNotFound) {
			continue // the copy has no rules of theirs without it
		}
		if err != nil {
			return met, fmt.Errorf("%s: %w", tool.save, err)
		}
		met = append(met, savedMeetings(tool.family, string(out))...)
	}
	return met, nil
}

// savedMeetings reads what iptables-save -c writes: "*table", ":CHAIN POLICY
// [packets:bytes]", "[packets:bytes] -A CHAIN …".
func savedMeetings(family, text string) []Meeting {
	var met []Meeting
	table := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if name, isTable := strings.CutPrefix(line, "*"); isTable {
			table = name
			continue
		}
		var counter, rule, chain string
		dropped, change := true, ruleset.Change("")
		if policy, isPolicy := strings.CutPrefix(line, ":"); isPolicy {
			fields := strings.Fields(policy)
			if len(fields) != 3 || fields[1] != "DROP" {
				continue
			}
			chain, counter, rule = fields[0], fields[2], "-P "+fields[0]+" DROP"
		} else {
			counter, rule, _ = strings.Cut(line, " ")
			rest, isRule := strings.CutPrefix(rule, "-A ")
			if !isRule {
				continue
			}
			chain, _, _ = strings.Cut(rest, " ")
			target := targetOf(rule)
			dropped, change = target == "DROP" || target == "REJECT", ruleset.TargetChange(target)
			if !dropped && change == "" {
				continue
			}
		}
		count, _, _ := strings.Cut(strings.TrimPrefix(counter, "["), ":")
		packets, err := strconv.ParseUint(count, 10, 64)
		if err != nil || packets == 0 {
			continue
		}
		met = append(met, Meeting{
			Family: family, Table: table, Base: chain, Chain: chain, Legacy: rule, Dropped: dropped, Change: change,
			Packets: []string{fmt.Sprintf("%d packets of the check", packets)}, Count: 1,
		})
	}
	return met
}

// targetOf is the name of a rule's target. A comment may hold the same words, so
// that the last of them counts.
func targetOf(rule string) string {
	_, after, found := strings.Cut(rule[max(0, strings.LastIndex(rule, " -j ")):], " -j ")
	if !found {
		return ""
	}
	target, _, _ := strings.Cut(after, " ")
	return target
}
