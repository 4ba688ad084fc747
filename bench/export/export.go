// Package export writes results of benchmarks for other programs: as JSON, in the
// format of Go's benchmarks, as CSV, and as OpenMetrics.
package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

// SchemaVersion is that of docs/bench.schema.json, which is that of the report,
// as the keys that both have mean the same.
const SchemaVersion = "1"

// Run is what was measured, on which machine. Its JSON form is described by
// docs/bench.schema.json.
type Run struct {
	SchemaVersion string        `json:"schema_version"`
	Tool          any           `json:"tool"`    // as in a report, as are
	Started       time.Time     `json:"started"` // UTC
	Duration      time.Duration `json:"duration_ns"`
	Command       []string      `json:"command"`
	Interrupted   bool          `json:"interrupted"`
	Host          any           `json:"host"` // this, and
	Noise         any           `json:"noise"`
	// Dropped says which combinations that were asked for there are not, and why.
	Dropped    []string       `json:"dropped"`
	Benchmarks []bench.Result `json:"benchmarks"`
	// Machine is what the other formats say of it.
	Machine Machine `json:"-"`
}

// Machine tells machines apart whose figures are not to be mixed.
type Machine struct {
	GOOS, GOARCH string
	CPU          string // model
	Kernel       string
	Version      string // of loopcheck
}

// JSON writes everything, as one indented document with a line feed at its end and
// a line for each restart. Lists and maps that hold nothing are written as [] and
// {}; what is not a finite number is left out. Restarts are written one by one:
// hours of them as one text would take more memory than all else.
func JSON(run Run) func(io.Writer) error {
	return func(to io.Writer) error {
		w := bufio.NewWriter(to)
		err := writeRun(w, run)
		if err = errors.Join(err, w.Flush()); err != nil {
			return fmt.Errorf("write the benchmarks as JSON: %w", err)
		}
		return nil
	}
}

func writeRun(w *bufio.Writer, run Run) error {
	results := run.Benchmarks
	run.SchemaVersion = SchemaVersion
	run.Command, run.Dropped, run.Benchmarks = filled(run.Command), filled(run.Dropped), []bench.Result{}
	err := around(w, run, "", "benchmarks", len(results), func(i int) error {
		r := complete(results[i])
		restarts := r.Restarts
		r.Restarts = []bench.Restart{}
		return around(w, r, "    ", "restarts", len(restarts), func(k int) error {
			line, err := json.Marshal(restarts[k])
			_, _ = w.WriteString("        ")
			_, _ = w.Write(line)
			return err
		})
	})
	_, _ = w.WriteString("\n")
	return err
}

// around writes a document, indented, whose list of a name is empty and is filled
// with n elements on the way. The writer keeps its first error.
func around(w *bufio.Writer, document any, indent, list string, n int, element func(i int) error) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent(indent, "  ")
	if err := encoder.Encode(document); err != nil {
		return err
	}
	// Within a string the quotes would be escaped.
	before, after, _ := bytes.Cut(bytes.TrimSpace(text.Bytes()), fmt.Appendf(nil, "%q: []", list))
	_, _ = fmt.Fprintf(w, "%s%s%q: [", indent, before, list)
	for i := range n {
		if i > 0 {
			_, _ = w.WriteString(",")
		}
		_, _ = w.WriteString("\n")
		if err := element(i); err != nil {
			return err
		}
	}
	if n > 0 {
		_, _ = fmt.Fprintf(w, "\n%s  ", indent)
	}
	_, err := fmt.Fprintf(w, "]%s", after)
	return err
}

// complete is a result that can be written as JSON.
func complete(r bench.Result) bench.Result {
	r.Restarts, r.ModesNS = filled(r.Restarts), filled(r.ModesNS)
	r.Percentiles, r.Service = finite(r.Percentiles), finite(r.Service)
	if r.Taint == nil {
		r.Taint = map[string]int{}
	}
	if r.Conditions.Counters == nil {
		r.Conditions.Counters = map[string]int64{}
	}
	return r
}

// bears says whether a restart has the samples for a percentile beyond its median,
// which intervals are of; the key is one of bench.SamplesFor.
func bears(one bench.Restart, key string) bool { return one.Count >= bench.SamplesFor(key) }

func filled[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func finite(figures map[string]float64) map[string]float64 {
	out := map[string]float64{}
	maps.Copy(out, figures)
	maps.DeleteFunc(out, func(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) })
	return out
}
