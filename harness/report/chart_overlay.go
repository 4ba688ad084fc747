package report

import (
	"slices"

	"github.com/loopcheck/loopcheck/bench"
)

// Overlays draws the percentiles of benchmarks of two runs over each other, a chart
// for each name that both have, in the order of the second: the base is dashed. What
// has no figures in one of both, or no histogram, is left out.
func Overlays(base, compared []bench.Result) (charts []Chart) {
	for _, b := range compared {
		i := slices.IndexFunc(base, func(a bench.Result) bool { return a.Name == b.Name })
		if i < 0 || outcomeOf(base[i]) != nil || outcomeOf(b) != nil {
			continue
		}
		before, after := histogramOf(base[i]), histogramOf(b)
		if before == nil || after == nil {
			continue
		}
		c, ok := percentileChart(b.Name, []curve{{"base", base[i], curveOf(before)}, {"new", b, curveOf(after)}})
		if !ok || len(c.Lines) != 2 {
			continue
		}
		c.Lines[0].Dashed = true
		c.Table = &ChartTable{Columns: []string{"percentile", "base", "new"}}
		for _, column := range []struct {
			name string
			cell func(bench.Result) string
		}{
			{"p50", medianCell},
			{"p90", percentileCell("p90_ns")},
			{"p99", percentileCell("p99_ns")},
			{"p99.9", percentileCell("p99.9_ns")},
			{"p99.99", percentileCell("p99.99_ns")},
			{"max", percentileCell("max_ns")},
		} {
			c.Table.Rows = append(c.Table.Rows, []string{column.name, column.cell(base[i]), column.cell(b)})
		}
		charts = append(charts, c)
	}
	return charts
}
