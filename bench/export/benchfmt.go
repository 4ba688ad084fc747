package export

import (
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"

	"golang.org/x/perf/benchfmt"

	"github.com/loopcheck/loopcheck/bench"
)

// units are those of a line, and which way is better.
var units = []struct{ name, better string }{
	{"ns/op", "lower"},
	{"p50-ns", "lower"},
	{"p90-ns", "lower"},
	{"p99-ns", "lower"},
	{"ops/s", "higher"},
	{"B/s", "higher"},
	{"cpu-ns/op", "lower"},
}

// Benchfmt writes the Go benchmark format (golang.org/design/14313-benchmark-format),
// which benchstat compares: a line for each restart that counts, since restarts and
// not operations are the samples. As in Go's benchmarks ns/op is the time that
// passed by the number of operations, with the benchmark's own work between them;
// at a fixed rate that is the interval, and is left out. So is what is inconclusive,
// for which a comment stands: benchstat would compare it like the rest.
func Benchfmt(run Run) func(io.Writer) error {
	return func(w io.Writer) error {
		if _, err := io.WriteString(w, unitLines()); err != nil {
			return fmt.Errorf("write the benchmarks: %w", err)
		}
		writer := benchfmt.NewWriter(w)
		for _, r := range run.Benchmarks {
			if r.Inconclusive != "" {
				if _, err := fmt.Fprintf(w, "# %s: inconclusive: %s\n", goName(r.Spec), oneLine(r.Inconclusive)); err != nil {
					return fmt.Errorf("write the benchmarks: %w", err)
				}
				continue
			}
			for _, one := range r.Counted() {
				line := &benchfmt.Result{
					Config: configuration(run.Machine), Name: benchfmt.Name(goName(r.Spec)),
					Iters: int(one.Count), Values: values(r.Spec, one),
				}
				if err := writer.Write(line); err != nil {
					return fmt.Errorf("write the benchmarks: %w", err)
				}
			}
		}
		return nil
	}
}

func unitLines() string {
	var b strings.Builder
	for _, u := range units {
		fmt.Fprintf(&b, "Unit %s better=%s\n", u.name, u.better)
	}
	return b.String()
}

func configuration(m Machine) []benchfmt.Config {
	var config []benchfmt.Config
	for _, c := range [][2]string{{"goos", m.GOOS}, {"goarch", m.GOARCH}, {"cpu", m.CPU}, {"kernel", m.Kernel}, {"loopcheck", m.Version}} {
		if value := oneLine(c[1]); value != "" {
			config = append(config, benchfmt.Config{Key: c[0], Value: []byte(value), File: true})
		}
	}
	return config
}

// oneLine is a text with single spaces between its words, and nothing else.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// goName is the name of a benchmark without "Benchmark" before it: keys and values
// that benchstat can select and group by.
func goName(s bench.Spec) string {
	name := fmt.Sprintf("%c%s/op=%s/engine=%s/placement=%s/size=%dB",
		unicode.ToUpper(rune(s.Transport[0])), s.Transport[1:], s.Op, s.Engine, s.Placement, s.SizeBytes)
	if s.Flows > 1 {
		name += fmt.Sprintf("/flows=%d", s.Flows)
	}
	if s.Outstanding > 0 {
		name += fmt.Sprintf("/outstanding=%d", s.Outstanding)
	}
	if s.RateHz > 0 {
		name += fmt.Sprintf("/rate=%sHz", decimal(s.RateHz))
	}
	return name
}

func values(s bench.Spec, one bench.Restart) []benchfmt.Value {
	var all []benchfmt.Value
	add := func(value float64, unit string) {
		all = append(all, benchfmt.Value{Value: math.Round(value*1000) / 1000, Unit: unit})
	}
	if s.RateHz == 0 && one.Count > 0 {
		add(float64(one.Duration.Nanoseconds())/float64(one.Count), "ns/op")
	}
	add(one.P50NS, "p50-ns")
	if bears(one, "p90_ns") {
		add(one.P90NS, "p90-ns")
	}
	if bears(one, "p99_ns") {
		add(one.P99NS, "p99-ns")
	}
	add(one.RatePerS(), "ops/s")
	if s.Op == bench.Stream {
		add(one.BytesPerS, "B/s")
	}
	add(one.CPUNSPerOp, "cpu-ns/op")
	return all
}
