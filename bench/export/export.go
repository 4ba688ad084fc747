// Package export writes results of benchmarks for other programs: as JSON, in the
// format of Go's benchmarks, as CSV, and as OpenMetrics.
package export

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
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

// JSON writes everything, as one indented document with a line feed at its end.
// Lists and maps that hold nothing are written as [] and {}; what is not a finite
// number is left out.
func JSON(run Run) func(io.Writer) error {
	return func(w io.Writer) error {
		run.SchemaVersion = SchemaVersion
		run.Benchmarks = slices.Clone(run.Benchmarks)
		for i := range run.Benchmarks {
			run.Benchmarks[i] = complete(run.Benchmarks[i])
		}
		run.Command, run.Dropped, run.Benchmarks = filled(run.Command), filled(run.Dropped), filled(run.Benchmarks)
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(run); err != nil {
			return fmt.Errorf("write the benchmarks as JSON: %w", err)
		}
		return nil
	}
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
