package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// repeatable are benchmarks of which --repeat looks how far the figure differs from
// one run to the next.
func repeatable() []bench.Spec {
	var all []bench.Spec
	for _, transport := range []string{bench.TCP, bench.UDP, bench.Unix, bench.Pipe} {
		for _, p := range placements {
			all = append(all, bench.Spec{Transport: transport, Placement: p}.WithDefaults())
		}
	}
	return append(all, bench.Spec{Transport: bench.TCP, Engine: bench.NetConn, Placement: topology.Free}.WithDefaults())
}

// repeated is what runs of one benchmark said, each with the restarts and windows
// that a run has by default.
type repeated struct {
	Name string       `json:"name"`
	Runs []repetition `json:"runs"`
	// Variation is the coefficient of variation of the medians: of the runs that say
	// one, as an inconclusive result is not a figure.
	Variation float64 `json:"variation"`
	Skipped   string  `json:"skipped,omitempty"`
	Error     string  `json:"error,omitempty"`
}

// repetition is one run.
type repetition struct {
	P50NS        float64        `json:"p50_ns"`
	P99NS        float64        `json:"p99_ns"` // 0 where the samples are too few for it
	CI95         bench.Interval `json:"ci95"`
	Taint        map[string]int `json:"taint"`
	Inconclusive string         `json:"inconclusive,omitempty"`
}

func (r repetition) String() string {
	if r.Inconclusive != "" {
		return "inconclusive: " + r.Inconclusive
	}
	return fmt.Sprintf("%.2f µs (%.2f to %.2f)", r.P50NS/1000, r.CI95.LowNS/1000, r.CI95.HighNS/1000)
}

// maxVariation is the goal: of the medians of runs on a quiet machine.
const maxVariation = 0.03

// medians are those of the runs that are not inconclusive.
func (r repeated) medians() []float64 {
	var medians []float64
	for _, one := range r.Runs {
		if one.Inconclusive == "" {
			medians = append(medians, one.P50NS)
		}
	}
	return medians
}

// cells are those of the table of repetitions.
func (r repeated) cells() []string {
	if r.Error != "" {
		return []string{r.Name, "", "", "", "", "failed: " + strings.ReplaceAll(r.Error, "\n", ": ")}
	}
	if r.Skipped != "" {
		return []string{r.Name, "", "", "", "", r.Skipped}
	}
	medians := r.medians()
	cells := []string{r.Name, fmt.Sprint(len(r.Runs)), fmt.Sprintf("%d (%.0f %%)", len(r.Runs)-len(medians), share(len(r.Runs)-len(medians), len(r.Runs))), "", "", ""}
	if len(medians) > 1 {
		verdict := "reached"
		if r.Variation > maxVariation {
			verdict = "missed"
		}
		low, middle, high := spread(medians)
		cells[3] = fmt.Sprintf("%s (%s to %s)", microseconds(middle), microseconds(low), microseconds(high))
		cells[4] = fmt.Sprintf("%.1f %%", 100*r.Variation)
		cells[5] = fmt.Sprintf("≤ %.0f %%: %s", 100*maxVariation, verdict)
	}
	return cells
}

func share(part, of int) float64 {
	if of == 0 {
		return 0
	}
	return 100 * float64(part) / float64(of)
}

var repeatColumns = []string{"benchmark", "runs", "inconclusive", "median of the medians, and their range", "variation", "goal"}

// printRepeated prints the table of repetitions, for a terminal.
func (r *report) printRepeated(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, strings.Join(repeatColumns, "\t"))
	for _, one := range r.Repeated {
		fmt.Fprintln(t, strings.Join(one.cells(), "\t"))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", r.repeatedOn())
	return err
}

// printRepeatedMarkdown prints it as docs/measuring.md has it.
func (r *report) printRepeatedMarkdown(w io.Writer) error {
	lines := []string{r.repeatedOn(), ""}
	lines = append(lines, markdownHead(repeatColumns)...)
	for _, one := range r.Repeated {
		lines = append(lines, markdownRow(one.cells()))
	}
	_, err := fmt.Fprintln(w, strings.Join(lines, "\n"))
	return err
}

// repeatedOn says where and when.
func (r *report) repeatedOn() string {
	return fmt.Sprintf("%s, %s; a run is %d restarts of %v.", r.Started.UTC().Format(time.DateOnly), r.Machine, bench.DefaultRestarts, bench.DefaultWindow)
}
