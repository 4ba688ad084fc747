package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// Where all restarts were made it is not the time that ended them, however late it
// is.
func TestWhyMeasuringEnds(t *testing.T) {
	alike := []Restart{{P50NS: 100}, {P50NS: 100}, {P50NS: 100}, {P50NS: 100}, {P50NS: 100}, {P50NS: 100}}
	apart := []Restart{{P50NS: 100}, {P50NS: 900}, {P50NS: 100}, {P50NS: 900}, {P50NS: 100}, {P50NS: 900}}
	for name, c := range map[string]struct {
		restarts []Restart
		plan     Plan
		passed   time.Duration
		more     bool
		ended    string
	}{
		"begun":                 {alike[:1], Plan{Restarts: 6, Limit: time.Hour}, 0, true, ""},
		"made":                  {alike, Plan{Restarts: 6}, 0, false, EndedRestarts},
		"made and late":         {alike, Plan{Restarts: 6, Limit: time.Second}, time.Minute, false, EndedRestarts},
		"late":                  {alike, Plan{Restarts: 7, Limit: time.Second}, time.Minute, false, EndedTime},
		"precise":               {alike, Plan{Restarts: 6, Precision: 0.02}, 0, false, EndedPrecision},
		"precise and late":      {alike, Plan{Restarts: 6, Precision: 0.02, Limit: time.Second}, time.Minute, false, EndedPrecision},
		"not precise":           {apart, Plan{Restarts: 6, Precision: 0.02, Limit: time.Hour}, 0, true, ""},
		"not precise, and late": {apart, Plan{Restarts: 6, Precision: 0.02, Limit: time.Second}, time.Minute, false, EndedTime},
	} {
		b := &benchmarks{all: []*benchmark{{tally: &tally{restarts: c.restarts}}}, began: time.Now().Add(-c.passed)}
		if more, ended := b.more(len(c.restarts), c.plan); more != c.more || ended != c.ended {
			t.Errorf("%s: more %v, ended by %q; want %v and %q", name, more, ended, c.more, c.ended)
		}
	}
}

// A benchmark that lacks something after some restarts is inconclusive, and ends no
// other.
func TestWhatIsUsedUpEndsOneBenchmark(t *testing.T) {
	opened := 0
	scarce := func(_ context.Context, s Spec, _ topology.Pair) (engine, error) {
		if opened++; opened > 2 {
			return nil, &MissingError{s, "more of it", errors.New("used up")}
		}
		return newSingle(s, calls{func() {}}), nil
	}
	plenty := func(_ context.Context, s Spec, _ topology.Pair) (engine, error) {
		return newSingle(s, calls{func() {}}), nil
	}
	b := &benchmarks{window: newWindow()}
	anywhere := topology.Pair{Placement: topology.Free, Client: -1, Server: -1}
	for _, how := range []opener{scarce, plenty} {
		b.add(Spec{Transport: "clock"}.WithDefaults(), anywhere, how)
	}
	results, err := b.measure(t.Context(), Plan{Restarts: 4, Window: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	if r := results[0]; len(r.Restarts) != 2 || r.Skipped != "" || !strings.Contains(r.Inconclusive, "restart 3 needs more of it: used up") {
		t.Errorf("%d restarts, skipped %q, inconclusive %q", len(r.Restarts), r.Skipped, r.Inconclusive)
	}
	if r := results[1]; len(r.Restarts) != 4 || r.Ended != EndedRestarts {
		t.Errorf("%d restarts, ended by %q", len(r.Restarts), r.Ended)
	}
}
