package report

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// lineHead begins each line, so that it stands for itself among those of other
// runs and machines.
type lineHead struct {
	Type     string    `json:"type"` // "run", "check", "benchmark" or "listener"
	Hostname string    `json:"hostname"`
	Started  time.Time `json:"started"` // the run, in UTC
}

// JSONLines writes one JSON object a line: the run, then each check, benchmark and
// listener with the keys that it has in docs/report.schema.json. The histograms of
// benchmarks are left out: they are for programs that read the whole report.
func JSONLines(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		r := rewritten(r, func(s string) string { return s })
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		for _, line := range r.lines() {
			if err := enc.Encode(line); err != nil {
				return fmt.Errorf("write the report as JSON lines: %w", err)
			}
		}
		return nil
	}
}

func (r *Report) lines() []any {
	head := func(kind string) lineHead { return lineHead{kind, r.Host.Hostname, r.Started} }
	lines := []any{struct {
		lineHead
		Tool        Tool          `json:"tool"`
		Duration    time.Duration `json:"duration_ns"`
		Command     []string      `json:"command"`
		Interrupted bool          `json:"interrupted"`
		OS          string        `json:"os"`
		Kernel      string        `json:"kernel"`
		Arch        string        `json:"arch"`
		CPU         string        `json:"cpu"`
		Summary     Summary       `json:"summary"`
	}{head("run"), r.Tool, r.Duration, r.Command, r.Interrupted, r.Host.OS, r.Host.Kernel, r.Host.Arch, processors(r.Host.CPUs), r.Summary}}
	for _, c := range r.Checks {
		maps.DeleteFunc(c.Measurements, notFinite)
		lines = append(lines, struct {
			lineHead
			Check
		}{head("check"), c})
	}
	for _, b := range r.Benchmarks {
		maps.DeleteFunc(b.Percentiles, notFinite)
		b.Histogram = ""
		lines = append(lines, struct {
			lineHead
			bench.Result
			Histogram string `json:"histogram,omitempty"`
		}{lineHead: head("benchmark"), Result: b})
	}
	for _, l := range r.Listeners {
		lines = append(lines, struct {
			lineHead
			listeners.Listener
		}{head("listener"), l})
	}
	return lines
}
