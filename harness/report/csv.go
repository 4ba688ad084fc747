package report

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// CSVHeader is the first line of CSV. A row is a check or a benchmark; what it has
// none of is empty.
var CSVHeader = []string{
	"kind", "name", "suite", "title", "state", "duration_ns", "message", "causes", "remedies", "source",
	"count", "rate_per_s", "mean_ns", "p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "p99.99_ns",
	"hostname", "kernel", "cpu", "started",
}

// CSV writes a row for each check and each benchmark, in the format of RFC 4180:
// lines end with CRLF. A cell that a spreadsheet would take for a formula begins
// with an apostrophe, as OWASP's "CSV Injection" advises.
func CSV(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		r := HarmlessCopy(r)
		table := csv.NewWriter(w)
		table.UseCRLF = true
		_ = table.Write(CSVHeader) // the first error stays, and Error returns it
		machine := []string{r.Host.Hostname, r.Host.Kernel, processors(r.Host.CPUs), r.Started.UTC().Format(time.RFC3339)}
		for _, row := range r.rows() {
			_ = table.Write(noFormulas(append(row, machine...)))
		}
		table.Flush()
		if err := table.Error(); err != nil {
			return fmt.Errorf("write the report as CSV: %w", err)
		}
		return nil
	}
}

func (r *Report) rows() (rows [][]string) {
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	for _, c := range r.Checks {
		var causes, remedies []string
		for _, cause := range c.Causes {
			causes = append(causes, cause.Summary)
		}
		for _, remedy := range c.Remedies {
			remedies = append(remedies, remedy.Command)
		}
		row := []string{
			"check", c.ID, c.Suite, c.Title, string(c.State), strconv.FormatInt(int64(c.Duration), 10), strings.TrimSpace(c.Message),
			strings.Join(causes, "\n"), strings.Join(remedies, "\n"), c.Source,
		}
		rows = append(rows, append(row, make([]string, 8)...))
	}
	for _, b := range r.Benchmarks {
		state, message := "measured", ""
		switch {
		case b.Skipped != "":
			state, message = "skip", b.Skipped
		case b.Inconclusive != "":
			state, message = "inconclusive", b.Inconclusive
		}
		row := []string{
			"benchmark", b.Name, "", "", state, "", message, "", "", "",
			strconv.FormatInt(b.Count, 10), number(b.RatePerS), number(b.MeanNS),
		}
		for _, key := range []string{"p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "p99.99_ns"} {
			cell := ""
			if ns, given := b.Percentiles[key]; given {
				cell = number(ns)
			}
			row = append(row, cell)
		}
		rows = append(rows, row)
	}
	return rows
}

// noFormulas keeps a spreadsheet from calculating what the machine named. A number
// that is negative stays one.
func noFormulas(row []string) []string {
	for i, cell := range row {
		if cell == "" || !strings.ContainsRune("=+-@\t\r\n＝＋－＠", []rune(cell)[0]) {
			continue
		}
		if _, err := strconv.ParseFloat(cell, 64); err != nil {
			row[i] = "'" + cell
		}
	}
	return row
}
