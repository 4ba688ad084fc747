// Package report reads what loopcheck says of a machine, as far as the lab
// judges it. docs/report.schema.json describes all of it.
package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Report is the JSON report of a run.
type Report struct {
	Interrupted bool `json:"interrupted"`
	Summary     struct {
		Verdict string `json:"verdict"`
	} `json:"summary"`
	Checks []Check `json:"checks"`
}

// Check is what came of one check.
type Check struct {
	ID       string   `json:"id"`
	State    string   `json:"state"`
	Message  string   `json:"message"`
	Causes   []Cause  `json:"causes"`
	Remedies []Remedy `json:"remedies"`
}

// Cause is what was found to explain it.
type Cause struct {
	ID       string   `json:"id"`
	Summary  string   `json:"summary"`
	Evidence []string `json:"evidence"`
}

// Remedy is a command that is said to mend a cause.
type Remedy struct {
	Command string `json:"command"`
	Cause   string `json:"cause"`
}

// States are the states of a check, worst first.
var States = []string{"fail", "warn", "inconclusive", "interrupted", "skip", "pass"}

// Decode reads a report that has to be the only thing in the input.
func Decode(from io.Reader) (Report, error) {
	var r Report
	decoder := json.NewDecoder(from)
	switch err := decoder.Decode(&r); {
	case errors.Is(err, io.EOF):
		return Report{}, errors.New("stdout holds no report: it is empty")
	case err != nil:
		return Report{}, fmt.Errorf("stdout holds no report: %w", err)
	case r.Summary.Verdict == "":
		return Report{}, errors.New("stdout holds no report: summary.verdict is missing")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return Report{}, errors.New("stdout holds more than one report")
	}
	return r, nil
}
