package bench

import (
	"context"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// Rounds says how often sides are compared.
type Rounds struct {
	// Kept is how many rounds are wanted in which no side was tainted. At most twice
	// as many are made.
	Kept int
	// Limit bounds the whole; 0 does not. A round that has begun is finished.
	Limit time.Duration
	// Progress is told of each restart when it is over; it may be nil.
	Progress func(Progress)
}

// DefaultRounds is the least that makes a ratio worth quoting, with its interval.
const DefaultRounds = 30

// Comparison is how sides compare that were measured in turns.
type Comparison struct {
	Sides []Compared `json:"sides"`
	// Kept is the number of rounds that count. Those in which some side was tainted
	// are Discarded, for all sides.
	Kept      int `json:"kept"`
	Discarded int `json:"discarded"`
	// Taint is how many rounds each reason tainted.
	Taint map[string]int `json:"taint"`
	// Metrics are of the quantities that all sides tell.
	Metrics []Metric `json:"metrics"`
	// Inconclusive says why the figures are not to be trusted; empty when they are.
	Inconclusive string `json:"inconclusive,omitempty"`
}

// Compared is what one side measured: one restart in each round.
type Compared struct {
	Name     string    `json:"name"`
	Restarts []Restart `json:"restarts"`
}

// Compare measures sides in turns (Interleave). What drifts meets all of them
// alike, and what is seen beside one of them taints its round for all: so no side
// is judged by quieter moments than another.
//
// It ends with the first error of a side, and when the context does; the
// comparison is then of the rounds that were complete. No other benchmark of this
// process runs meanwhile.
func Compare(ctx context.Context, sides []Side, rounds Rounds) (Comparison, error) {
	if len(sides) < 2 || rounds.Kept < 1 {
		return Comparison{}, fmt.Errorf("compare %d sides in %d rounds: it takes two sides and one round", len(sides), rounds.Kept)
	}
	done, err := takeTurn(ctx)
	if err != nil {
		return Comparison{}, err
	}
	defer done()
	return compare(context.WithValue(ctx, hasTurn{}, true), sides, rounds, observed)
}

// compare has restarts made by measured.
func compare(ctx context.Context, sides []Side, rounds Rounds, measured func(context.Context, Side, int) (Restart, error)) (Comparison, error) {
	c := Comparison{Sides: make([]Compared, len(sides)), Taint: map[string]int{}}
	for i, s := range sides {
		c.Sides[i].Name = s.Name()
	}
	began, over := time.Now(), false
	err := Interleave(ctx, len(sides), func(ctx context.Context, side, round int) error {
		r, err := measured(ctx, sides[side], round)
		if err != nil {
			return fmt.Errorf("%s, round %d: %w", sides[side].Name(), round+1, err)
		}
		r.Round = round
		c.Sides[side].Restarts = append(c.Sides[side].Restarts, r)
		if rounds.Progress != nil {
			rounds.Progress(Progress{Name: sides[side].Name(), Index: side, Of: len(sides), Round: round, Rounds: rounds.Kept, Restart: r, Elapsed: time.Since(began)})
		}
		return nil
	}, func(made int) bool {
		c.count(made)
		over = made > 0 && rounds.Limit > 0 && time.Since(began) >= rounds.Limit
		return c.Kept < rounds.Kept && made < 2*rounds.Kept && !over
	})
	c.conclude(rounds.Kept, over)
	return c, err
}

// observed makes a restart and looks at what runs beside it, from its first
// process or socket to its last: of other programs no more can be seen.
func observed(ctx context.Context, s Side, round int) (Restart, error) {
	runtime.GC() // of what the slots before left behind
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	before, own := observe(), readUsage().CPU+childrenTime()
	r, err := s.Restart(ctx, round)
	if err != nil {
		return r, err
	}
	used := readUsage().CPU + childrenTime() - own
	_, reasons := before.taint(observe(), used, s.Processors())
	for _, reason := range reasons {
		// A benchmark of ours collects before its window, and says so if it did inside.
		if reason != TaintGC && !slices.Contains(r.Taint, reason) {
			r.Taint = append(r.Taint, reason)
		}
	}
	return r, nil
}

// taints are why a round does not count.
func (c *Comparison) taints(round int) []string {
	var reasons []string
	for _, s := range c.Sides {
		reasons = append(reasons, s.Restarts[round].Taint...)
	}
	slices.Sort(reasons)
	return slices.Compact(reasons)
}

// count takes up the last of the rounds that were made.
func (c *Comparison) count(made int) {
	if made == 0 {
		return
	}
	reasons := c.taints(made - 1)
	for _, reason := range reasons {
		c.Taint[reason]++
	}
	if len(reasons) > 0 {
		c.Discarded++
	} else {
		c.Kept++
	}
}

// conclude drops a round that did not come to its end, and sums up.
func (c *Comparison) conclude(wanted int, over bool) {
	for i := range c.Sides {
		c.Sides[i].Restarts = c.Sides[i].Restarts[:c.Kept+c.Discarded]
	}
	if c.Kept < wanted {
		c.Inconclusive = fmt.Sprintf("%d of the %d rounds wanted count", c.Kept, wanted)
		if over {
			c.Inconclusive += ", for the time was over"
		}
		if c.Discarded > 0 {
			c.Inconclusive += fmt.Sprintf(": %d of %d are tainted: %s", c.Discarded, c.Kept+c.Discarded, strings.Join(slices.Sorted(maps.Keys(c.Taint)), ", "))
		}
	}
	for _, q := range quantities {
		if m, told := c.metric(q); told {
			c.Metrics = append(c.Metrics, m)
		}
	}
}
