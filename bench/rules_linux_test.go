package bench

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// rulesOf are those of a file of nft(8), as the kernel has them in a sandbox.
func rulesOf(t *testing.T, text string) *ruleset.Ruleset {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("the rules need nft, which is not installed here")
	}
	box, err := sandbox.Start(t.Context(), sandbox.Config{})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	if text != "" {
		if err := ruleset.LoadFileInto(t.Context(), box, "", ruleset.File{Name: "test.nft", Text: text}); err != nil {
			t.Fatal(err)
		}
	}
	rules, err := ruleset.ReadFrom(t.Context(), box, "")
	if err != nil {
		t.Fatal(err)
	}
	return rules
}

func aFewRestarts(t *testing.T, n int) rulesOrder {
	t.Helper()
	pairs, err := ladderPairs([]topology.Placement{topology.SameCore})
	if err != nil {
		t.Fatal(err)
	}
	return rulesOrder{Pair: pairs[0], Restarts: n, Window: 10 * time.Millisecond}
}

func filter(rules ...string) string {
	return "table inet t {\n chain c {\n type filter hook input priority 0;\n" + strings.Join(rules, "\n") + "\n }\n}\n"
}

// Four times a thousand comparisons take longer than anything else in a round
// trip.
func TestManyRulesCost(t *testing.T) {
	var many []string
	for port := range 1000 {
		many = append(many, fmt.Sprintf("meta l4proto 132 th dport %d drop", port+1))
	}
	rules := rulesOf(t, filter(many...))
	var got Rules
	// Where other programs taint rounds, or come between, it takes more of them.
	for restarts, told := 6, false; !told && restarts <= 48; restarts *= 2 {
		var err error
		if got, err = costOf(t.Context(), rules, aFewRestarts(t, restarts)); err != nil {
			t.Fatal(err)
		}
		told = !slices.ContainsFunc(got.Costs, func(c RulesCost) bool { return !c.Adds.Longer() })
	}
	if got.Skipped != "" || got.Count != 1000 || len(got.Costs) != 2 {
		t.Fatalf("%+v", got)
	}
	told := true
	for _, c := range got.Costs {
		if !c.Adds.Longer() && c.Adds.Inconclusive != "" && c.Adds.Rounds > 0 {
			told = false
			t.Logf("%s: other programs left no quiet moment, and it says so: %s", c.With.Transport, c.Adds.Inconclusive)
			continue
		}
		if !c.Adds.Longer() || c.Adds.Rounds == 0 || c.With.Count == 0 || c.Without.Count == 0 {
			t.Errorf("%s: %+v", c.With.Transport, c.Adds)
		}
	}
	if text := got.String(); told && (!strings.Contains(text, "your 1000 rules cost ") || !strings.Contains(text, "of a UDP round trip, 95 % interval")) {
		t.Error(text)
	}
}

func TestWhereThereAreNoRules(t *testing.T) {
	for name, c := range map[string]struct{ text, want string }{
		"none":      {"", "this machine has no netfilter rules"},
		"idle":      {filter(), "this machine has no netfilter rules that IPv4 packets over lo meet"},
		"elsewhere": {"table ip t {\n chain c {\n type filter hook forward priority 0;\n drop\n }\n}\n", "this machine has no netfilter rules that IPv4 packets over lo meet"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := costOf(t.Context(), rulesOf(t, c.text), aFewRestarts(t, 1))
			if err != nil || got.String() != c.want || len(got.Costs) != 0 {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// Rules that let nothing through are told as such.
func TestRulesThatDropEverything(t *testing.T) {
	got, err := costOf(t.Context(), rulesOf(t, filter("tcp flags syn reject with tcp reset")), aFewRestarts(t, 1))
	if err != nil || !strings.Contains(got.String(), "connection refused") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestInterruptedRulesHoldWhatThereIs(t *testing.T) {
	rules := rulesOf(t, filter("tcp dport 1 drop"))
	// Enough to begin with on a busy machine.
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	o := aFewRestarts(t, 1000)
	got, err := costOf(ctx, rules, o)
	if err == nil || ctx.Err() == nil {
		t.Fatalf("five seconds are enough for %d restarts: %v", o.Restarts, err)
	}
	if len(got.Costs) != len(ruledTransports) || got.Costs[0].With.Ended != EndedInterrupted || got.Costs[0].Without.Count == 0 {
		t.Errorf("%+v", got)
	}
}
