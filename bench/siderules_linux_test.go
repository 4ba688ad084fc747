package bench

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// restartRuled makes one restart of a side with rules, and skips where this machine cannot
// load any.
func restartRuled(t *testing.T, rules *ruleset.File) (Restart, error) {
	t.Helper()
	s, err := NewRuledSide(Spec{Transport: TCP, Placement: topology.SameCore}, 10*time.Millisecond, rules)
	if err != nil {
		t.Fatal(err)
	}
	if want := "tcp/rr/raw/same-core/64B"; s.Name() != want || len(s.Processors()) != 1 {
		t.Errorf("side is %q on %v, want %q on one processor", s.Name(), s.Processors(), want)
	}
	r, err := s.Restart(t.Context(), 3)
	for _, lack := range []any{new(*sandbox.RefusedError), new(*ruleset.MissingProgramError)} {
		if errors.As(err, lack) {
			t.Skip(err)
		}
	}
	return r, err
}

// input is a file whose rule sees what comes in.
func input(rule string) *ruleset.File {
	return &ruleset.File{Name: "rules.nft", Text: "table inet t {\n chain in {\n  type filter hook input priority 0;\n  " + rule + "\n }\n}\n"}
}

func TestASideIsMeasuredWithItsRules(t *testing.T) {
	for _, rules := range []*ruleset.File{nil, input("counter")} {
		r, err := restartRuled(t, rules)
		if err != nil {
			t.Fatal(err)
		}
		if r.Round != 3 || r.Count < 1 || r.P50NS <= 0 || r.P99NS < r.P50NS {
			t.Errorf("with %v: %+v, want round trips in round 3", rules, r)
		}
	}
	if r, err := restartRuled(t, input("tcp flags syn reject with tcp reset")); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("rules that refuse connections: %v, %+v", err, r)
	}
}

func TestRulesThatAreNoneFailWithTheirLine(t *testing.T) {
	_, err := restartRuled(t, input("tcp dport nonsense-port-name accept"))
	if failed, ok := errors.AsType[*ruleset.FileError](err); !ok || failed.Line != 4 || !strings.Contains(err.Error(), "rules.nft:4") {
		t.Errorf("error is %v", err)
	}
}

func TestASideWithoutALengthIsRefused(t *testing.T) {
	if _, err := NewRuledSide(Spec{}, 0, nil); err == nil {
		t.Error("a side with a window of 0 was made")
	}
}
