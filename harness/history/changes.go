package history

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
)

const (
	// familyError is how often one or more changes are marked among all series of a
	// history in which nothing changed.
	familyError = 0.05
	// minStretch is how many runs there have to be before and after a change. Fewer
	// are a spell of bad luck.
	minStretch = 3
	// minEffect is by how much the medians on both sides have to differ: with many
	// runs a test finds steps that are real and that nobody minds.
	minEffect = 0.05
	// permutations draw the distribution that a series without a change gives.
	permutations = 9999
	// maxPermuted is up to which length it is drawn; from there on it is bounded.
	maxPermuted = 128
)

// Change is a place in a series where its level changed for good.
type Change struct {
	At            int     // index of the first value of the new level
	Before, After float64 // medians of the stretches on both sides
	P             float64 // how likely the sides differ so much by chance
}

// Effect is the change as a share of the level before.
func (c Change) Effect() float64 { return c.After/c.Before - 1 }

// Changes finds the change points of every series, by binary segmentation. Where a
// series is best cut in two is where the rank sums of both parts (Wilcoxon, Mann and
// Whitney) differ most, in standard deviations; the cut counts where permuted series
// are seldom cut so well (a rank form of Pettitt, "A non-parametric approach to the
// change-point problem", 1979). Ranks make no assumption of the distribution, and
// one wild run is one rank. Over all series the error is held by Holm's procedure,
// and in the parts of those that were cut by halving it with each level. What is left
// is pruned: a cut has to stand against the stretches beside it, by test and effect.
func Changes(series [][]float64) [][]Change {
	type first struct {
		series, at int
		p          float64
	}
	firsts := make([]first, len(series))
	for i, values := range series {
		at, p := cut(values)
		firsts[i] = first{i, at, p}
	}
	slices.SortFunc(firsts, func(a, b first) int { return cmp.Compare(a.p, b.p) })
	found := make([][]Change, len(series))
	level := familyError / float64(max(1, len(series)))
	for i, f := range firsts {
		if f.p > familyError/float64(len(firsts)-i) {
			break
		}
		values := series[f.series]
		cuts := segment(values[:f.at], 0, level/2)
		cuts = append(cuts, f.at)
		cuts = append(cuts, segment(values[f.at:], f.at, level/2)...)
		found[f.series] = prune(values, cuts, level)
	}
	return found
}

// segment is where the values, of which the first has the index from, are cut.
func segment(values []float64, from int, level float64) []int {
	at, p := cut(values)
	if p > level {
		return nil
	}
	cuts := append(segment(values[:at], from, level/2), from+at)
	return append(cuts, segment(values[at:], from+at, level/2)...)
}

// prune takes away the weakest cut until each one stands.
func prune(values []float64, cuts []int, level float64) []Change {
	for {
		changes := make([]Change, len(cuts))
		weakest, worst := -1, 0.0
		for i, at := range cuts {
			from, to := 0, len(values)
			if i > 0 {
				from = cuts[i-1]
			}
			if i+1 < len(cuts) {
				to = cuts[i+1]
			}
			c := Change{At: at, Before: Median(values[from:at]), After: Median(values[at:to])}
			c.P = 2 * upperTail(deviation(values[from:to], at-from))
			changes[i] = c
			weakness := c.P
			if !(math.Abs(c.Effect()) >= minEffect) {
				weakness = 1
			}
			if weakness > level && weakness > worst {
				weakest, worst = i, weakness
			}
		}
		if weakest < 0 {
			return changes
		}
		cuts = slices.Delete(cuts, weakest, weakest+1)
	}
}

// cut is where a series is best cut in two, and how likely one without a change is
// cut so well.
func cut(values []float64) (at int, p float64) {
	n := len(values)
	if n < 2*minStretch {
		return 0, 1
	}
	at, most := bestCut(ranks(values))
	if most == 0 {
		return 0, 1
	}
	// The chance of one cut, times the number of cuts that were tried.
	p = min(1, 2*upperTail(most)*float64(n-2*minStretch+1))
	if n > maxPermuted {
		return at, p
	}
	null := permuted(n)
	i, _ := slices.BinarySearch(null, most)
	if drawn := float64(1+len(null)-i) / float64(1+len(null)); i < len(null) {
		p = drawn
	} else {
		p = min(p, drawn)
	}
	return at, p
}

// bestCut is the cut whose rank sum deviates most, and by how many standard
// deviations.
func bestCut(r []float64, ties float64) (at int, most float64) {
	n, sum := float64(len(r)), 0.0
	for i := range len(r) - minStretch {
		sum += r[i]
		t := float64(i + 1)
		if i+1 < minStretch {
			continue
		}
		if z := deviations(sum, t, n, ties); z > most {
			at, most = i+1, z
		}
	}
	return at, most
}

// deviation is by how many standard deviations the rank sum of the values before a
// cut deviates from that of chance.
func deviation(values []float64, at int) float64 {
	r, ties := ranks(values)
	sum := 0.0
	for _, rank := range r[:at] {
		sum += rank
	}
	return deviations(sum, float64(at), float64(len(values)), ties)
}

// deviations is by how many standard deviations the rank sum of t of n values
// deviates from that of chance; 0 where all values are equal.
func deviations(sum, t, n, ties float64) float64 {
	variance := t * (n - t) / 12 * (n + 1 - ties/(n*(n-1)))
	if variance <= 0 {
		return 0
	}
	return math.Abs(sum-t*(n+1)/2) / math.Sqrt(variance)
}

// ranks are the ranks of values, equal ones sharing theirs, and the sum over groups
// of t equal values of t³-t, by which ties lessen the variance of rank sums.
func ranks(values []float64) (r []float64, ties float64) {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	r = make([]float64, len(values))
	for from := 0; from < len(order); {
		to := from + 1
		for to < len(order) && values[order[to]] == values[order[from]] {
			to++
		}
		for _, i := range order[from:to] {
			r[i] = float64(from+1+to) / 2
		}
		t := float64(to - from)
		ties += t*t*t - t
		from = to
	}
	return r, ties
}

// upperTail is the chance of a standard normal variable above z.
func upperTail(z float64) float64 { return math.Erfc(z/math.Sqrt2) / 2 }

// Median is the middle of values, of which there has to be one, or the mean of the
// two in the middle.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

var nulls = struct {
	sync.Mutex
	of map[int][]float64
}{of: map[int][]float64{}}

// permuted are the best cuts of permutations of n ranks, smallest first. They are
// the same in each process, so that a history always has the same marks.
func permuted(n int) []float64 {
	nulls.Lock()
	defer nulls.Unlock()
	if nulls.of[n] != nil {
		return nulls.of[n]
	}
	random := rand.New(rand.NewPCG(1, uint64(n)))
	r := make([]float64, n)
	for i := range r {
		r[i] = float64(i + 1)
	}
	drawn := make([]float64, permutations)
	for i := range drawn {
		random.Shuffle(n, func(a, b int) { r[a], r[b] = r[b], r[a] })
		_, drawn[i] = bestCut(r, 0)
	}
	slices.Sort(drawn)
	nulls.of[n] = drawn
	return drawn
}
