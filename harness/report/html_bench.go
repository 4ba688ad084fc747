package report

import "github.com/loopcheck/loopcheck/bench"

// benchView is the section of benchmarks as the templates want it.
type benchView struct {
	Benchmarks  []bench.Result
	Columns     []benchColumn
	Placed      []placed
	Percentiles []Chart // one for each placement
	Sweeps      []Chart
	Plots       []benchmarkView
}

// benchmarkView is a benchmark with its charts, of which there may be none.
type benchmarkView struct {
	bench.Result
	Distribution *Chart
	OverTime     *Chart

	distribution *distribution
}

// benchViewOf is nil where there are no benchmarks.
func benchViewOf(results []bench.Result) *benchView {
	if len(results) == 0 {
		return nil
	}
	v := &benchView{Benchmarks: results, Columns: benchColumns, Placed: byPlacement(results), Sweeps: sweepCharts(results)}
	for _, b := range results {
		one := benchmarkView{Result: b, OverTime: restartsChart(b), distribution: distributionOf(b)}
		one.Distribution = distributionChart(one.distribution)
		v.Plots = append(v.Plots, one)
	}
	v.Percentiles = percentileCharts(v.Plots)
	return v
}
