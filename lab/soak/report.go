package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// report is what is judged of the JSON report of a run. The full form is
// described in docs/report.schema.json.
type report struct {
	Interrupted bool `json:"interrupted"`
	Summary     struct {
		Verdict string `json:"verdict"`
	} `json:"summary"`
	Checks []checkResult `json:"checks"`
}

type checkResult struct {
	ID      string            `json:"id"`
	State   string            `json:"state"`
	Message string            `json:"message"`
	Causes  []json.RawMessage `json:"causes"`
}

// The states of a check, worst first.
var states = []string{"fail", "warn", "inconclusive", "interrupted", "skip", "pass"}

// decodeReport reads a report that has to be the only thing in the input.
func decodeReport(from io.Reader) (report, error) {
	var r report
	decoder := json.NewDecoder(from)
	switch err := decoder.Decode(&r); {
	case errors.Is(err, io.EOF):
		return report{}, errors.New("stdout holds no report: it is empty")
	case err != nil:
		return report{}, fmt.Errorf("stdout holds no report: %w", err)
	case r.Summary.Verdict == "":
		return report{}, errors.New("stdout holds no report: summary.verdict is missing")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return report{}, errors.New("stdout holds more than one report")
	}
	return r, nil
}

// judge names what is wrong with a run. With expectFails the stack was damaged
// on purpose: then a check has to fail, and every one that does has to name a
// cause.
func judge(o outcome, expectFails bool) []string {
	if o.err != nil {
		wrong := fmt.Sprintf("exit %s, %v", o.exit, o.err)
		if o.stderr != "" {
			wrong += "; stderr ends: " + o.stderr
		}
		return []string{wrong}
	}
	var wrong []string
	fails := 0
	for _, c := range o.report.Checks {
		if c.State != "fail" {
			continue
		}
		fails++
		switch {
		case !expectFails:
			wrong = append(wrong, fmt.Sprintf("%s failed: %s", c.ID, c.Message))
		case len(c.Causes) == 0:
			wrong = append(wrong, fmt.Sprintf("%s failed without a cause: %s", c.ID, c.Message))
		}
	}
	if expectFails && fails == 0 {
		wrong = append(wrong, "no check failed although the stack is damaged")
	}
	if len(o.report.Checks) == 0 {
		wrong = append(wrong, "the report holds no checks")
	}
	if o.report.Interrupted {
		wrong = append(wrong, "the report says it was interrupted")
	}
	want := "0"
	if fails > 0 {
		want = "1"
	}
	if o.exit != want {
		text := fmt.Sprintf("exit %s with %d failed checks, want %s", o.exit, fails, want)
		if o.stderr != "" {
			text += "; stderr ends: " + o.stderr
		}
		wrong = append(wrong, text)
	}
	return wrong
}
