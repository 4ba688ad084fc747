package webcheck

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// JSON writes the result as one document, which follows docs/http.schema.json.
func JSON(r *Result) func(io.Writer) error {
	return func(w io.Writer) error {
		encoder := json.NewEncoder(w)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
}

// Text writes what was found for a terminal: the server, how long it takes, and the
// checks as a run's. What the server said is made harmless first.
func Text(r *Result, machine host.Facts, style report.Style) func(io.Writer) error {
	return func(w io.Writer) error {
		var b strings.Builder
		for _, line := range r.Target.lines() {
			b.WriteString(terminal.Shorten(terminal.Harmless(line), style.Width) + "\n")
		}
		if len(r.Timings) > 0 {
			b.WriteString("\n")
			writeTimings(&b, r.Timings)
		}
		b.WriteString("\n")
		if _, err := io.WriteString(w, b.String()); err != nil {
			return err
		}
		return report.Text(r.report(machine), style)(w)
	}
}

// report is the result as that of a run.
func (r *Result) report(machine host.Facts) *report.Report {
	all := report.New(r.Tool, r.Command, machine, nil)
	all.Started, all.Duration, all.Interrupted = r.Started, r.Duration, r.Interrupted
	all.Suites, all.Checks, all.Summary = []check.Suite{Suite}, r.Checks, r.Summary
	return all
}

func (a Asked) lines() []string {
	lines := []string{a.URL}
	if a.Final != "" {
		lines[0] += ", redirected to " + a.Final
	}
	for _, l := range a.Listeners {
		lines = append(lines, "  "+l.String())
	}
	if a.Status == 0 {
		return lines
	}
	versions := make([]string, len(a.Versions))
	for i, v := range a.Versions {
		versions[i] = string(v)
	}
	said := fmt.Sprintf("  status %d, %s", a.Status, strings.Join(versions, ", "))
	if a.Server != "" {
		said += ", calls itself " + a.Server
	}
	return append(lines, said)
}

func writeTimings(w io.Writer, timings []Timing) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprintln(table, "\trequests\tper s\tDNS p50\tconnect p50\tTLS p50\tfirst byte p50\ttotal p50\tp90\tp99\tmax\t")
	step := func(s Steps, value int64) string {
		if s.Count == 0 {
			return "-"
		}
		return report.Latency(float64(value))
	}
	for _, t := range timings {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%.0f\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", t.Name(), t.Requests, t.RatePerS,
			step(t.DNS, int64(t.DNS.P50)), step(t.Connect, int64(t.Connect.P50)), step(t.TLS, int64(t.TLS.P50)), step(t.FirstByte, int64(t.FirstByte.P50)),
			step(t.Total, int64(t.Total.P50)), step(t.Total, int64(t.Total.P90)), step(t.Total, int64(t.Total.P99)), step(t.Total, int64(t.Total.Max)))
	}
	_ = table.Flush() // to a strings.Builder, which does not fail
}
