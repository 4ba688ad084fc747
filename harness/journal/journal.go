// Package journal keeps a run's outcome as it comes: one JSON document a line,
// written as each check ends, so that a run that is killed loses no more than
// the check under way.
package journal

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
)

// entry is one line. Exactly one of the pointers is set.
type entry struct {
	At        time.Time        `json:"at"`
	Head      *head            `json:"head,omitempty"`
	Began     string           `json:"began,omitempty"` // ID of the check that starts
	Check     *report.Check    `json:"check,omitempty"`
	Benchmark *bench.Result    `json:"benchmark,omitempty"`
	Firewall  *report.Firewall `json:"firewall,omitempty"`
	End       *end             `json:"end,omitempty"`
}

// head is the first line: the report as it stood before anything was asked.
type head struct {
	Report *report.Report `json:"report"`
	Plan   []check.Check  `json:"plan"`
}

// end is the last line of a run that came to its end.
type end struct {
	Duration    time.Duration `json:"duration_ns"`
	Interrupted bool          `json:"interrupted"`
	Noise       host.Noise    `json:"noise"`
}

// Writer writes a journal. It observes a run. The first error stops it from
// writing more: half a line followed by others would read as damage.
type Writer struct {
	w   io.Writer
	err error
}

// NewWriter returns a Writer to w, which should not be buffered: what is in a
// buffer dies with the process.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Err returns the first error of writing.
func (j *Writer) Err() error { return j.err }

// Started writes the head.
func (j *Writer) Started(r *report.Report, plan []check.Check) {
	j.write(entry{Head: &head{Report: r, Plan: plan}})
}

// Began notes the check that is under way.
func (j *Writer) Began(c check.Check) { j.write(entry{Began: c.ID}) }

// Ended writes the outcome of a check.
func (j *Writer) Ended(c report.Check) { j.write(entry{Check: &c}) }

// Measured writes the result of a benchmark.
func (j *Writer) Measured(b bench.Result) { j.write(entry{Benchmark: &b}) }

// Examined writes a part of what was found of the firewall.
func (j *Writer) Examined(part report.Firewall) { j.write(entry{Firewall: &part}) }

// Finished writes the end.
func (j *Writer) Finished(r *report.Report) {
	j.write(entry{End: &end{Duration: r.Duration, Interrupted: r.Interrupted, Noise: r.Noise}})
}

func (j *Writer) write(e entry) {
	if j.err != nil {
		return
	}
	e.At = time.Now().UTC()
	line, err := json.Marshal(e)
	if err != nil {
		j.err = fmt.Errorf("encode journal line: %w", err)
		return
	}
	if _, err := j.w.Write(append(line, '\n')); err != nil {
		j.err = fmt.Errorf("write journal: %w", err)
	}
}
