package judge_test

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/judge"
)

var comparisons = flag.Int("comparisons", 50, "how many comparisons are drawn from what was recorded, of each kind")

// recorded are the rounds of two sides that were measured in turns, one Comparison for
// each benchmark. testdata/README.md says how they were made.
func recorded(t *testing.T, name string) []bench.Comparison {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	plain, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	var rounds []bench.Comparison
	if err := json.NewDecoder(plain).Decode(&rounds); err != nil {
		t.Fatal(err)
	}
	return rounds
}

// kept is how many rounds or restarts a comparison has, as `bench --ab` makes.
const kept = bench.DefaultRounds

// turns is a stretch of the rounds that were recorded, as long as one comparison takes.
func turns(source *rand.Rand, c bench.Comparison) bench.Comparison {
	from := source.IntN(len(c.Sides[0].Restarts) - 2*kept + 1)
	drawn := bench.Comparison{Sides: make([]bench.Compared, len(c.Sides))}
	for round := from; drawn.Kept < kept && round < from+2*kept; round++ {
		tainted := false
		for i, side := range c.Sides {
			r := side.Restarts[round]
			tainted = tainted || len(r.Taint) > 0
			drawn.Sides[i] = bench.Compared{Name: side.Name, Restarts: append(drawn.Sides[i].Restarts, r)}
		}
		if tainted {
			drawn.Discarded++
		} else {
			drawn.Kept++
		}
	}
	if drawn.Kept < kept {
		drawn.Inconclusive = "too few rounds count"
	}
	return drawn
}

// run is a stretch of the restarts of one side, as a run of its own that knows whether
// it is to be trusted.
func run(source *rand.Rand, side bench.Compared) bench.Result {
	from := source.IntN(len(side.Restarts) - kept + 1)
	restarts := side.Restarts[from : from+kept]
	return bench.Result{Name: side.Name, Restarts: restarts, Inconclusive: bench.Doubt(restarts)}
}

// inTurns draws a comparison of sides in turns.
func inTurns(source *rand.Rand, of []bench.Comparison, rules judge.Rules) []judge.Benchmark {
	var drawn []bench.Comparison
	for _, c := range of {
		drawn = append(drawn, turns(source, c))
	}
	return judge.Rounds(drawn, rules)
}

// apart draws a comparison of runs at different times.
func apart(base, after []bench.Comparison) func(*rand.Rand, judge.Rules) []judge.Benchmark {
	return func(source *rand.Rand, rules judge.Rules) []judge.Benchmark {
		var pairs []judge.Pair
		for i := range base {
			pairs = append(pairs, judge.Pair{Base: run(source, base[i].Sides[0]), New: run(source, after[i].Sides[1])})
		}
		return judge.Pairs(pairs, rules)
	}
}

// counted draws comparisons side by side and counts those that find.
func counted(n int, draw func(*rand.Rand) []judge.Benchmark, finds func([]judge.Benchmark) bool) int {
	var found, next atomic.Int64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for k := next.Add(1); k <= int64(n); k = next.Add(1) {
				if finds(draw(rand.New(rand.NewPCG(uint64(k), 11)))) {
					found.Add(1)
				}
			}
		})
	}
	workers.Wait()
	return int(found.Load())
}

func has(v judge.Verdict) func([]judge.Benchmark) bool {
	return func(judged []judge.Benchmark) bool {
		for _, b := range judged {
			if b.Verdict == v {
				return true
			}
		}
		return false
	}
}

// alarms are regressions and improvements: each says that something differs.
func alarms(judged []judge.Benchmark) bool {
	return has(judge.Regression)(judged) || has(judge.Improvement)(judged)
}

var byDefault = judge.Rules{MinEffect: judge.DefaultMinEffect, Level: judge.DefaultLevel}

// tellingOfEach is from how many comparisons each kind by itself is held to its bound:
// of fewer, one is more than a hundredth.
const tellingOfEach = 1000

// What is the same on both sides differs in one comparison of a hundred at most.
func TestFalseAlarms(t *testing.T) {
	quiet, busy := recorded(t, "same-quiet"), recorded(t, "same-busy")
	kinds := []struct {
		name string
		draw func(*rand.Rand, judge.Rules) []judge.Benchmark
	}{
		{"in turns, quiet", func(s *rand.Rand, r judge.Rules) []judge.Benchmark { return inTurns(s, quiet, r) }},
		{"in turns, busy", func(s *rand.Rand, r judge.Rules) []judge.Benchmark { return inTurns(s, busy, r) }},
		{"apart, quiet", apart(quiet, quiet)},
		{"apart, busy", apart(busy, busy)},
		{"apart, quiet and then busy", apart(quiet, busy)},
		{"apart, busy and then quiet", apart(busy, quiet)},
	}
	all := 0
	for _, kind := range kinds {
		draw := func(s *rand.Rand) []judge.Benchmark { return kind.draw(s, byDefault) }
		n := counted(*comparisons, draw, alarms)
		t.Logf("%-27s %d of %d", kind.name, n, *comparisons)
		all += n
		if *comparisons >= tellingOfEach && n*100 > *comparisons {
			t.Errorf("%s: %d of %d comparisons of the same find a difference", kind.name, n, *comparisons)
		}
	}
	if drawn := len(kinds) * *comparisons; all*100 > drawn {
		t.Errorf("%d of %d comparisons of the same find a difference", all, drawn)
	}
}

// How often a slow-down by so many rules is found.
func TestPower(t *testing.T) {
	for _, c := range []struct {
		rules     int
		minEffect float64
		least     float64 // share that has to be found in turns
		apart     float64 // and at different times
	}{
		{1, 0.02, 0.9, 0},
		{3, 0.02, 0.95, 0.95},
		{6, 0.02, 0.95, 0.95},
		{9, 0.02, 0.95, 0.2},
		{14, 0.02, 0.95, 0.95},
		{3, 0.05, 0, 0},
		{6, 0.05, 0.2, 0.2},
		{9, 0.05, 0.95, 0.2},
		{14, 0.05, 0.98, 0.98},
		{20, 0.05, 0.98, 0.98},
	} {
		of := recorded(t, fmt.Sprintf("rules-%02d", c.rules))
		rules := judge.Rules{MinEffect: c.minEffect, Level: judge.DefaultLevel}
		ratio, _ := of[0].Ratio(bench.P50, 1, 0)
		var found [2]int
		for i, draw := range []func(*rand.Rand) []judge.Benchmark{
			func(s *rand.Rand) []judge.Benchmark { return inTurns(s, of, rules) },
			func(s *rand.Rand) []judge.Benchmark { return apart(of, of)(s, rules) },
		} {
			found[i] = counted(*comparisons, draw, has(judge.Regression))
		}
		t.Logf("| %d | %.1f %% | %.0f %% | %d | %d | of %d", c.rules, 100*(ratio.Value-1), 100*c.minEffect, found[0], found[1], *comparisons)
		if float64(found[0]) < c.least*float64(*comparisons) || float64(found[1]) < c.apart*float64(*comparisons) {
			t.Errorf("%d rules, which make %.1f %%: found %d times in turns and %d at different times, of %d", c.rules, 100*(ratio.Value-1), found[0], found[1], *comparisons)
		}
		if below := math.Log1p(c.minEffect) - math.Log(ratio.Value); below > 0.01 && found[0] > *comparisons/20 {
			t.Errorf("%d rules, which make %.1f %%, less than counts: found %d times of %d", c.rules, 100*(ratio.Value-1), found[0], *comparisons)
		}
	}
}
