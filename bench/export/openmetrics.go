package export

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
)

// Metric is one metric family of the OpenMetrics text format 1.0, of a kind that
// the older Prometheus text format 0.0.4 has too: gauge or summary. Its name ends
// in its unit, where it has one.
type Metric struct {
	Name, Kind, Unit, Help string
	Samples                []Sample
}

// Sample is one line of a Metric.
type Sample struct {
	Suffix string   // of the name, such as "_count"
	Labels []string // names and values in turn
	Value  float64
}

// OpenMetrics writes the OpenMetrics text format 1.0: for each benchmark a summary
// of its latencies, and gauges of the rest, labelled with what tells benchmarks
// apart. What was not measured has none.
func OpenMetrics(run Run) func(io.Writer) error {
	return func(w io.Writer) error {
		if err := WriteMetrics(w, Metrics(run)); err != nil {
			return fmt.Errorf("write the benchmarks as OpenMetrics: %w", err)
		}
		return nil
	}
}

// Metrics are those that OpenMetrics writes.
func Metrics(run Run) []Metric {
	m := run.Machine
	metrics := []Metric{{
		Name: "loopcheck_build_info", Kind: "gauge", Help: "What measured, and on which machine; always 1.",
		Samples: one(1, "version", m.Version, "goos", m.GOOS, "goarch", m.GOARCH, "cpu", m.CPU, "kernel", m.Kernel),
	}}
	measured := slices.DeleteFunc(slices.Clone(run.Benchmarks), func(r bench.Result) bool { return r.Count == 0 })
	for _, f := range families {
		metrics = append(metrics, f.of(measured))
	}
	return metrics
}

// WriteMetrics writes metrics without timestamps, which node_exporter's textfile
// collector refuses. To a reader of format 0.0.4 the lines UNIT and EOF are
// comments. A metric without samples is left out, and so is a sample whose name
// and labels were written before: both formats forbid it, and a reader may then
// refuse the whole file.
func WriteMetrics(w io.Writer, metrics []Metric) error {
	var b strings.Builder
	written := map[string]bool{}
	for _, m := range metrics {
		m.write(&b, written)
	}
	b.WriteString("# EOF\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (m Metric) write(b *strings.Builder, written map[string]bool) {
	var lines strings.Builder
	for _, s := range m.Samples {
		series := m.Name + s.Suffix
		if len(s.Labels) > 0 {
			series += "{" + labels(s.Labels...) + "}"
		}
		if !written[series] {
			written[series] = true
			fmt.Fprintf(&lines, "%s %s\n", series, number(s.Value))
		}
	}
	if lines.Len() == 0 {
		return
	}
	fmt.Fprintf(b, "# TYPE %s %s\n", m.Name, m.Kind)
	if m.Unit != "" {
		fmt.Fprintf(b, "# UNIT %s %s\n", m.Name, m.Unit)
	}
	fmt.Fprintf(b, "# HELP %s %s\n%s", m.Name, m.Help, lines.String())
}

// family is a metric of benchmarks.
type family struct {
	name, kind, unit, help string
	// samples has the labels beside those of the benchmark.
	samples func(bench.Result) []Sample
}

const nanosecond = 1e-9

func one(value float64, labels ...string) []Sample { return []Sample{{Labels: labels, Value: value}} }

// told is a sample of what may be -1, where it is not.
func told(value float64) []Sample {
	if value < 0 {
		return nil
	}
	return one(value)
}

var families = []family{
	{"loopcheck_latency_seconds", "summary", "seconds", "Time of an operation; at a fixed rate since it was meant to begin.", latency},
	{"loopcheck_service_seconds", "gauge", "seconds", "At a fixed rate, time of an operation since it really began.", func(r bench.Result) []Sample { return quantiles(r.Service) }},
	{"loopcheck_latency_maximum_seconds", "gauge", "seconds", "Longest time of an operation.", func(r bench.Result) []Sample { return one(r.Percentiles["max_ns"] * nanosecond) }},
	{"loopcheck_median_seconds", "gauge", "seconds", "Ends of the confidence interval of the median over restarts.", func(r bench.Result) []Sample {
		return append(one(r.CI95.LowNS*nanosecond, "end", "low"), one(r.CI95.HighNS*nanosecond, "end", "high")...)
	}},
	{"loopcheck_median_confidence_ratio", "gauge", "ratio", "Confidence that the interval of the median reaches.", func(r bench.Result) []Sample { return one(r.CI95.Confidence) }},
	{"loopcheck_operations_hertz", "gauge", "hertz", "Operations per second.", func(r bench.Result) []Sample { return one(r.RatePerS) }},
	{"loopcheck_stream_bytes_per_second", "gauge", "", "Bytes per second that a stream delivered.", func(r bench.Result) []Sample {
		if r.Op != bench.Stream {
			return nil
		}
		return one(r.BytesPerS)
	}},
	{"loopcheck_cpu_seconds", "gauge", "seconds", "User and system time of both ends for one operation.", func(r bench.Result) []Sample { return one(r.CPUNSPerOp * nanosecond) }},
	{"loopcheck_context_switches_ratio", "gauge", "ratio", "Context switches of both ends for one operation.", func(r bench.Result) []Sample {
		return append(one(r.Conditions.VoluntaryPerOp, "kind", "voluntary"), one(r.Conditions.InvoluntaryPerOp, "kind", "involuntary")...)
	}},
	{"loopcheck_lost_datagrams", "gauge", "", "Datagrams that stayed without an answer.", func(r bench.Result) []Sample { return one(float64(r.Lost)) }},
	{"loopcheck_restarts", "gauge", "", "Restarts that were measured.", func(r bench.Result) []Sample { return one(float64(len(r.Restarts))) }},
	{"loopcheck_tainted_restarts", "gauge", "", "Restarts that a reason tainted.", func(r bench.Result) (all []Sample) {
		for _, reason := range slices.Sorted(maps.Keys(r.Taint)) {
			all = append(all, one(float64(r.Taint[reason]), "reason", reason)...)
		}
		return all
	}},
	{"loopcheck_inconclusive", "gauge", "", "1 where the figures are not to be trusted, and otherwise 0.", func(r bench.Result) []Sample {
		if r.Inconclusive != "" {
			return one(1)
		}
		return one(0)
	}},
	{"loopcheck_steal_ratio", "gauge", "ratio", "Share of processor time that the hypervisor kept.", func(r bench.Result) []Sample { return told(r.Conditions.Steal) }},
	{"loopcheck_pressure_ratio", "gauge", "ratio", "Share of time in which some task waited for a processor.", func(r bench.Result) []Sample { return told(r.Conditions.Pressure) }},
}

// latency is a summary. The sum is what the mean makes it.
func latency(r bench.Result) []Sample {
	all := quantiles(r.Percentiles)
	return append(all,
		Sample{Suffix: "_sum", Value: r.MeanNS * nanosecond * float64(r.Count)},
		Sample{Suffix: "_count", Value: float64(r.Count)})
}

// quantiles are the percentiles that are given.
func quantiles(percentiles map[string]float64) (all []Sample) {
	for _, q := range [][2]string{{"p50_ns", "0.5"}, {"p90_ns", "0.9"}, {"p99_ns", "0.99"}, {"p99.9_ns", "0.999"}, {"p99.99_ns", "0.9999"}} {
		if ns, given := percentiles[q[0]]; given {
			all = append(all, one(ns*nanosecond, "quantile", q[1])...)
		}
	}
	return all
}

// of is the metric of some results.
func (f family) of(results []bench.Result) Metric {
	m := Metric{Name: f.name, Kind: f.kind, Unit: f.unit, Help: f.help}
	for _, r := range results {
		of := []string{
			"transport", r.Transport, "op", r.Op, "engine", r.Engine, "placement", string(r.Placement),
			"size", strconv.Itoa(r.SizeBytes), "flows", strconv.Itoa(r.Flows), "outstanding", strconv.Itoa(r.Outstanding), "rate", decimal(r.RateHz),
		}
		for _, s := range f.samples(r) {
			s.Labels = slices.Concat(of, s.Labels)
			m.Samples = append(m.Samples, s)
		}
	}
	return m
}

var escapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)

// labels joins names and values.
func labels(pairs ...string) string {
	var parts []string
	for i := 0; i+1 < len(pairs); i += 2 {
		parts = append(parts, fmt.Sprintf(`%s="%s"`, pairs[i], escapes.Replace(strings.ToValidUTF8(pairs[i+1], "\ufffd"))))
	}
	return strings.Join(parts, ",")
}

// number is rounded to what a nanosecond's thousandth bears, so that no figure
// ends in what binary fractions leave. Whole ones stay as they are.
func number(v float64) string {
	if v == math.Trunc(v) && math.Abs(v) < 1<<53 {
		return strconv.FormatFloat(v, 'f', -1, 64)
	}
	return strconv.FormatFloat(v, 'g', 9, 64)
}
