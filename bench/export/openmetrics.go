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

// OpenMetrics writes the OpenMetrics text format 1.0: for each benchmark a summary
// of its latencies, and gauges of the rest, labelled with what tells benchmarks
// apart. What was not measured has none.
func OpenMetrics(run Run) func(io.Writer) error {
	return func(w io.Writer) error {
		var b strings.Builder
		b.WriteString("# TYPE loopcheck_build_info gauge\n# HELP loopcheck_build_info What measured, and on which machine; always 1.\n")
		m := run.Machine
		fmt.Fprintf(&b, "loopcheck_build_info{%s} 1\n", labels("version", m.Version, "goos", m.GOOS, "goarch", m.GOARCH, "cpu", m.CPU, "kernel", m.Kernel))
		measured := slices.DeleteFunc(slices.Clone(run.Benchmarks), func(r bench.Result) bool { return r.Count == 0 })
		for _, f := range families {
			f.write(&b, measured)
		}
		b.WriteString("# EOF\n")
		if _, err := io.WriteString(w, b.String()); err != nil {
			return fmt.Errorf("write the benchmarks as OpenMetrics: %w", err)
		}
		return nil
	}
}

// family is one metric. Its name ends in its unit, where it has one.
type family struct {
	name, kind, unit, help string
	samples                func(bench.Result) []sample
}

type sample struct {
	suffix string
	labels []string // beside those of the benchmark: names and values in turn
	value  float64
}

const nanosecond = 1e-9

func one(value float64, labels ...string) []sample { return []sample{{"", labels, value}} }

// told is a sample of what may be -1, where it is not.
func told(value float64) []sample {
	if value < 0 {
		return nil
	}
	return one(value)
}

var families = []family{
	{"loopcheck_latency_seconds", "summary", "seconds", "Time of an operation; at a fixed rate since it was meant to begin.", latency},
	{"loopcheck_service_seconds", "gauge", "seconds", "At a fixed rate, time of an operation since it really began.", func(r bench.Result) []sample { return quantiles(r.Service) }},
	{"loopcheck_latency_maximum_seconds", "gauge", "seconds", "Longest time of an operation.", func(r bench.Result) []sample { return one(r.Percentiles["max_ns"] * nanosecond) }},
	{"loopcheck_median_seconds", "gauge", "seconds", "Ends of the confidence interval of the median over restarts.", func(r bench.Result) []sample {
		return append(one(r.CI95.LowNS*nanosecond, "end", "low"), one(r.CI95.HighNS*nanosecond, "end", "high")...)
	}},
	{"loopcheck_median_confidence_ratio", "gauge", "ratio", "Confidence that the interval of the median reaches.", func(r bench.Result) []sample { return one(r.CI95.Confidence) }},
	{"loopcheck_operations_hertz", "gauge", "hertz", "Operations per second.", func(r bench.Result) []sample { return one(r.RatePerS) }},
	{"loopcheck_stream_bytes_per_second", "gauge", "", "Bytes per second that a stream delivered.", func(r bench.Result) []sample {
		if r.Op != bench.Stream {
			return nil
		}
		return one(r.BytesPerS)
	}},
	{"loopcheck_cpu_seconds", "gauge", "seconds", "User and system time of both ends for one operation.", func(r bench.Result) []sample { return one(r.CPUNSPerOp * nanosecond) }},
	{"loopcheck_context_switches_ratio", "gauge", "ratio", "Context switches of both ends for one operation.", func(r bench.Result) []sample {
		return append(one(r.Conditions.VoluntaryPerOp, "kind", "voluntary"), one(r.Conditions.InvoluntaryPerOp, "kind", "involuntary")...)
	}},
	{"loopcheck_lost_datagrams", "gauge", "", "Datagrams that stayed without an answer.", func(r bench.Result) []sample { return one(float64(r.Lost)) }},
	{"loopcheck_restarts", "gauge", "", "Restarts that were measured.", func(r bench.Result) []sample { return one(float64(len(r.Restarts))) }},
	{"loopcheck_tainted_restarts", "gauge", "", "Restarts that a reason tainted.", func(r bench.Result) (all []sample) {
		for _, reason := range slices.Sorted(maps.Keys(r.Taint)) {
			all = append(all, one(float64(r.Taint[reason]), "reason", reason)...)
		}
		return all
	}},
	{"loopcheck_inconclusive", "gauge", "", "1 where the figures are not to be trusted, and otherwise 0.", func(r bench.Result) []sample {
		if r.Inconclusive != "" {
			return one(1)
		}
		return one(0)
	}},
	{"loopcheck_steal_ratio", "gauge", "ratio", "Share of processor time that the hypervisor kept.", func(r bench.Result) []sample { return told(r.Conditions.Steal) }},
	{"loopcheck_pressure_ratio", "gauge", "ratio", "Share of time in which some task waited for a processor.", func(r bench.Result) []sample { return told(r.Conditions.Pressure) }},
}

// latency is a summary. The sum is what the mean makes it.
func latency(r bench.Result) []sample {
	all := quantiles(r.Percentiles)
	return append(all,
		sample{suffix: "_sum", value: r.MeanNS * nanosecond * float64(r.Count)},
		sample{suffix: "_count", value: float64(r.Count)})
}

// quantiles are the percentiles that are given.
func quantiles(percentiles map[string]float64) (all []sample) {
	for _, q := range [][2]string{{"p50_ns", "0.5"}, {"p90_ns", "0.9"}, {"p99_ns", "0.99"}, {"p99.9_ns", "0.999"}, {"p99.99_ns", "0.9999"}} {
		if ns, given := percentiles[q[0]]; given {
			all = append(all, one(ns*nanosecond, "quantile", q[1])...)
		}
	}
	return all
}

func (f family) write(b *strings.Builder, results []bench.Result) {
	var lines strings.Builder
	for _, r := range results {
		of := []string{
			"transport", r.Transport, "op", r.Op, "engine", r.Engine, "placement", string(r.Placement),
			"size", strconv.Itoa(r.SizeBytes), "flows", strconv.Itoa(r.Flows), "outstanding", strconv.Itoa(r.Outstanding), "rate", decimal(r.RateHz),
		}
		for _, s := range f.samples(r) {
			fmt.Fprintf(&lines, "%s%s{%s} %s\n", f.name, s.suffix, labels(slices.Concat(of, s.labels)...), number(s.value))
		}
	}
	if lines.Len() == 0 {
		return
	}
	fmt.Fprintf(b, "# TYPE %s %s\n", f.name, f.kind)
	if f.unit != "" {
		fmt.Fprintf(b, "# UNIT %s %s\n", f.name, f.unit)
	}
	fmt.Fprintf(b, "# HELP %s %s\n%s", f.name, f.help, lines.String())
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
