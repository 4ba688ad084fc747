package bench

import (
	"testing"
	"time"
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
