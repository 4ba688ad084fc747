package export

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
)

// CSVHeader is the first line of CSV. A row is one restart.
var CSVHeader = []string{
	"name", "transport", "op", "engine", "placement", "size_bytes", "flows", "outstanding", "rate_hz",
	"restart", "round", "count", "duration_ns", "ops_per_s", "bytes_per_s", "p50_ns", "p90_ns", "p99_ns", "cpu_ns_per_op", "taint", "inconclusive",
}

// CSV writes a row a restart, the tainted ones too, in the format of RFC 4180:
// lines end with CRLF. Reasons of taint are joined by semicolons. The last column
// says why the figures of a benchmark are not to be trusted, in each of its rows; it
// is empty where they are. So is a percentile that the samples do not bear. What was
// not measured has no row.
func CSV(run Run) func(io.Writer) error {
	return func(w io.Writer) error {
		table := csv.NewWriter(w)
		table.UseCRLF = true
		_ = table.Write(CSVHeader) // the first error stays, and Error returns it
		for _, r := range run.Benchmarks {
			for i, one := range r.Restarts {
				_ = table.Write([]string{
					r.Name, r.Transport, r.Op, r.Engine, string(r.Placement),
					strconv.Itoa(r.SizeBytes), strconv.Itoa(r.Flows), strconv.Itoa(r.Outstanding), decimal(r.RateHz),
					strconv.Itoa(i), strconv.Itoa(one.Round), strconv.FormatInt(one.Count, 10), strconv.FormatInt(int64(one.Duration), 10),
					decimal(one.RatePerS()), decimal(one.BytesPerS), decimal(one.P50NS), borne(one, "p90_ns", one.P90NS), borne(one, "p99_ns", one.P99NS),
					decimal(one.CPUNSPerOp), strings.Join(one.Taint, ";"), r.Inconclusive,
				})
			}
		}
		table.Flush()
		if err := table.Error(); err != nil {
			return fmt.Errorf("write the benchmarks as CSV: %w", err)
		}
		return nil
	}
}

// borne is a percentile of a restart, or nothing where its samples do not bear it.
func borne(one bench.Restart, key string, ns float64) string {
	if !bears(one, key) {
		return ""
	}
	return decimal(ns)
}

// decimal is a number with as many digits as it takes, up to three after the
// point, and no exponent.
func decimal(v float64) string {
	text := strconv.FormatFloat(v, 'f', 3, 64)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
