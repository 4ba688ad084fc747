package fleet

import (
	"cmp"
	"math"
	"slices"

	"github.com/loopcheck/loopcheck/harness/history"
)

const (
	// minMachines is of how many machines an outlier can be told: with fewer, half
	// of them decide what is usual.
	minMachines = 5
	// maxDeviation is how many robust standard deviations from the median a machine
	// may be (Iglewicz and Hoaglin, "How to Detect and Handle Outliers", 1993).
	maxDeviation = 3.5
	// minEffect is by how much it has to differ as well: of machines that are alike
	// to a hair the odd one out by a percent is nobody's concern.
	minEffect = 0.05
	// normal makes the median absolute deviation that of a standard deviation.
	normal = 1.4826
	// minScatter is the least scatter that is believed, as a share of the median:
	// where most machines agree to the digit it would otherwise be nothing.
	minScatter = 0.01
)

// Benchmark is the medians of one benchmark on the machines with one kind of
// processor: figures of different ones are not compared.
type Benchmark struct {
	Name string `json:"name"`
	CPU  string `json:"cpu"`
	// Machines are those that measured it and came to a conclusion, MediansNS theirs.
	Machines  []string  `json:"machines"`
	MediansNS []float64 `json:"medians_ns"`
	MedianNS  float64   `json:"median_ns"`  // of the medians
	ScatterNS float64   `json:"scatter_ns"` // median absolute deviation, as a standard deviation
	// Judged says whether the machines are enough to tell an outlier.
	Judged   bool      `json:"judged"`
	Outliers []Outlier `json:"outliers"` // the farthest first
}

// Outlier is a machine whose median is far from those of the others.
type Outlier struct {
	Machine   string  `json:"machine"`
	MedianNS  float64 `json:"median_ns"`
	Effect    float64 `json:"effect"`    // share by which it is above the median of all
	Deviation float64 `json:"deviation"` // in robust standard deviations
}

// judgeBenchmarks finds the outliers of each benchmark among machines with the same
// kind of processor.
func (f *Fleet) judgeBenchmarks() {
	type key struct{ name, cpu string }
	found := map[key]*Benchmark{}
	for _, m := range f.Machines {
		for _, b := range m.report.Benchmarks {
			p50, given := b.Percentiles["p50_ns"]
			if !given || b.Skipped != "" || b.Inconclusive != "" {
				continue
			}
			k := key{shown(b.Name), m.CPU}
			if found[k] == nil {
				found[k] = &Benchmark{Name: k.name, CPU: k.cpu, Outliers: []Outlier{}}
			}
			found[k].Machines = append(found[k].Machines, m.Name)
			found[k].MediansNS = append(found[k].MediansNS, p50)
		}
	}
	for _, b := range found {
		b.judge()
		f.Benchmarks = append(f.Benchmarks, *b)
	}
	slices.SortFunc(f.Benchmarks, func(a, b Benchmark) int {
		return cmp.Or(cmp.Compare(len(b.Outliers), len(a.Outliers)), cmp.Compare(a.Name, b.Name), cmp.Compare(a.CPU, b.CPU))
	})
}

func (b *Benchmark) judge() {
	b.MedianNS = history.Median(b.MediansNS)
	deviations := make([]float64, len(b.MediansNS))
	for i, v := range b.MediansNS {
		deviations[i] = math.Abs(v - b.MedianNS)
	}
	b.ScatterNS = normal * history.Median(deviations)
	b.Judged = len(b.MediansNS) >= minMachines
	scatter := max(b.ScatterNS, minScatter*b.MedianNS)
	if !b.Judged || scatter <= 0 {
		return
	}
	for i, v := range b.MediansNS {
		o := Outlier{Machine: b.Machines[i], MedianNS: v, Effect: v/b.MedianNS - 1, Deviation: (v - b.MedianNS) / scatter}
		if math.Abs(o.Deviation) > maxDeviation && math.Abs(o.Effect) >= minEffect {
			b.Outliers = append(b.Outliers, o)
		}
	}
	slices.SortStableFunc(b.Outliers, func(a, b Outlier) int {
		return cmp.Compare(math.Abs(b.Deviation), math.Abs(a.Deviation))
	})
}

// unjudged counts the benchmarks by name that too few machines measured.
func (f *Fleet) unjudged() int {
	names := map[string]bool{}
	for _, b := range f.Benchmarks {
		if !b.Judged {
			names[b.Name] = true
		}
	}
	return len(names)
}
