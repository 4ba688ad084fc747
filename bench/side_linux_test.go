package bench

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/topology"
)

func TestASideIsABenchmark(t *testing.T) {
	s, err := NewSide(Spec{Transport: UDP, SizeBytes: 14, Placement: topology.SameCore}, 20*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	if want := "udp/rr/raw/same-core/14B"; s.Name() != want || len(s.Processors()) != 1 {
		t.Errorf("side is %q on %v, want %q on one processor", s.Name(), s.Processors(), want)
	}
	for round := range 2 {
		r, err := s.Restart(t.Context(), round)
		if err != nil {
			t.Fatal(err)
		}
		if r.Round != round || r.Count < 1 || r.Duration < 20*time.Millisecond || r.P50NS <= 0 || r.P99NS < r.P50NS {
			t.Errorf("restart is %+v, want round trips of 20 ms in round %d", r, round)
		}
	}
}

func TestASideWaitsForItsTurn(t *testing.T) {
	s, err := NewSide(Spec{Transport: UDP}, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	turn <- struct{}{} // as a benchmark that runs
	defer func() { <-turn }()
	over := errors.New("over")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(over)
	if _, err := s.Restart(ctx, 0); !errors.Is(err, over) {
		t.Errorf("error is %v; want it to wait until its context ended", err)
	}
	if _, err := Compare(ctx, []Side{s, s}, Rounds{Kept: 1}); !errors.Is(err, over) {
		t.Errorf("error is %v; want the comparison to wait until its context ended", err)
	}
}

// Whoever holds the turn for its sides does not lock them out.
func TestTwoBenchmarksCompare(t *testing.T) {
	var sides []Side
	for _, size := range []int{1, 1400} {
		s, err := NewSide(Spec{Transport: TCP, SizeBytes: size, Placement: topology.SameCore}, 10*time.Millisecond)
		if err != nil {
			t.Fatal(err)
		}
		sides = append(sides, s)
	}
	told := 0
	c, err := Compare(t.Context(), sides, Rounds{Kept: 3, Progress: func(p Progress) { told++ }})
	if err != nil {
		t.Fatal(err)
	}
	// Where it is not quiet, rounds are discarded; none goes missing.
	if rounds := c.Kept + c.Discarded; told != 2*rounds || rounds < 3 || rounds > 6 || len(c.Sides[1].Restarts) != rounds {
		t.Errorf("%d kept, %d discarded, %d told of", c.Kept, c.Discarded, told)
	}
}

func TestASideThatCannotBeIsNamed(t *testing.T) {
	if _, err := NewSide(Spec{Transport: "carrier pigeon"}, time.Second); err == nil {
		t.Error("a transport that is not known became a side")
	}
	if _, err := NewSide(Spec{Transport: TCP}, 0); err == nil {
		t.Error("a window of no length became a side")
	}
}

// What is held is opened before and after the sockets of each restart, and closed
// with them, however it ends.
func TestWhatIsHeldBesideASideIsReleased(t *testing.T) {
	refused := errors.New("refused")
	for name, c := range map[string]struct {
		refuseFrom int // the call of hold that fails; 0 is none
		opens      int
	}{
		"all is held":          {0, 2},
		"nothing can be held":  {1, 0},
		"half of it is held":   {2, 1},
		"the second restart's": {3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			calls, held, opened := 0, 0, 0
			s, err := NewSideBeside(Spec{Transport: TCP}, time.Millisecond, func(context.Context) (func(), error) {
				if calls++; calls == c.refuseFrom {
					return nil, refused
				}
				held++
				opened++
				return func() { held-- }, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			_, err = s.Restart(t.Context(), 0)
			if c.refuseFrom == 3 && err == nil {
				_, err = s.Restart(t.Context(), 1)
			}
			if errors.Is(err, refused) != (c.refuseFrom > 0) || held != 0 || opened != c.opens {
				t.Errorf("error is %v, %d of %d are still held", err, held, opened)
			}
		})
	}
}
