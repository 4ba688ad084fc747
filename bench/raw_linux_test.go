package bench

import (
	"context"
	"errors"
	"testing"
	"time"
)

// rawSpecs are all that both raw engines measure, one of each.
func rawSpecs() []Spec {
	var specs []Spec
	for _, transport := range Transports {
		for _, engine := range []string{Raw, RawSpin} {
			for _, op := range abilities[transport][engine] {
				specs = append(specs, Spec{Transport: transport, Op: op, Engine: engine}.WithDefaults())
			}
		}
		if transport != Pipe && abilities[transport][Raw] != nil && transport != ICMP && transport != ICMP6 {
			specs = append(specs, Spec{Transport: transport, Engine: Raw, Flows: 5}.WithDefaults())
		}
	}
	return specs
}

func TestRawMeasuresEverySize(t *testing.T) {
	for _, s := range rawSpecs() {
		for _, size := range []int{1, 64, 9000, s.largest()} {
			s.SizeBytes = size
			if s.Op == Burst {
				s.SizeBytes = min(size, maxBurstBytes)
				s.Outstanding = min(20, maxBurstBytes/s.SizeBytes)
			}
			t.Run(s.Name(), func(t *testing.T) {
				results, err := Measure(t.Context(), []Spec{s}, short)
				if err != nil {
					t.Fatal(err)
				}
				r := results[0]
				if r.Skipped != "" {
					t.Skip(r.Skipped)
				}
				if r.Count < 1 || r.MeanNS <= 0 || r.RatePerS <= 0 {
					t.Errorf("%d samples in %v, mean %v ns, %v/s", r.Count, r.Restarts[0].Duration, r.MeanNS, r.RatePerS)
				}
				if s.Op == Burst && r.Count%int64(s.Outstanding) != 0 {
					t.Errorf("%d samples of bursts of %d", r.Count, s.Outstanding)
				}
				if s.Op == Stream {
					bytes := r.BytesPerS * r.Restarts[0].Duration.Seconds()
					if want := float64(r.Count-r.Lost) * float64(size); bytes < want*0.999 || bytes > want*1.001 {
						t.Errorf("%.0f bytes arrived of %d writes of %d, of which %d were lost", bytes, r.Count, size, r.Lost)
					}
				} else if r.Lost > 0 {
					t.Logf("%d of %d lost", r.Lost, r.Count)
				}
			})
		}
	}
}

func TestTheContextEndsRaw(t *testing.T) {
	for _, s := range rawSpecs() {
		t.Run(s.Name(), func(t *testing.T) {
			stopped := errors.New("stopped by the test")
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			plan := Plan{Restarts: 1, Window: time.Hour} // would outlast the test
			plan.Progress = func(Progress) { t.Error("the window ended") }
			timer := time.AfterFunc(20*time.Millisecond, func() { cancel(stopped) })
			defer timer.Stop()
			results, err := Measure(ctx, []Spec{s}, plan)
			if len(results) > 0 && results[0].Skipped != "" {
				t.Skip(results[0].Skipped)
			}
			if !errors.Is(err, stopped) {
				t.Errorf("error is %v, want the cause of the cancellation", err)
			}
		})
	}
}
