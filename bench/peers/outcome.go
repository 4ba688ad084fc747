package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// report is all that was compared: what --json writes.
type report struct {
	Started time.Time `json:"started"`
	Machine string    `json:"machine"`
	Command []string  `json:"command"`
	Rounds  int       `json:"rounds,omitempty"`
	// Versions are those that programs tell of themselves, by name.
	Versions map[string]string `json:"versions"`
	Outcomes []outcome         `json:"comparisons,omitempty"`
	Repeated []repeated        `json:"repeated,omitempty"`
}

// outcome is what became of one comparison.
type outcome struct {
	Name   string        `json:"name"`
	Spec   bench.Spec    `json:"spec"`
	Peer   string        `json:"peer"`
	Pair   topology.Pair `json:"pair"`
	Window time.Duration `json:"window_ns"`
	Note   string        `json:"note,omitempty"`
	// Comparison has the peer first and ours second, so that its ratios are ours to the
	// peer's.
	Comparison *bench.Comparison `json:"comparison,omitempty"`
	Goals      []judgement       `json:"goals,omitempty"`
	// Skipped says what this machine lacks for it, Error why it failed; Interrupted
	// that it was ended before it was over.
	Skipped     string `json:"skipped,omitempty"`
	Error       string `json:"error,omitempty"`
	Interrupted bool   `json:"interrupted,omitempty"`
}

// trouble says in one line why there is less to show than was asked for; empty where
// there is not.
func (o *outcome) trouble() string {
	switch {
	case o.Skipped != "":
		return o.Skipped
	case o.Interrupted:
		return "interrupted"
	case o.Error != "":
		return "failed: " + strings.ReplaceAll(o.Error, "\n", ": ")
	case o.Comparison != nil && o.Comparison.Inconclusive != "":
		return "inconclusive: " + o.Comparison.Inconclusive
	}
	return ""
}

// judge judges the goals, where what was measured is to be trusted.
func (o *outcome) judge(goals []goal) {
	if o.Comparison.Inconclusive != "" {
		return
	}
	for _, g := range goals {
		if m := o.metric(g.Quantity); m != nil {
			o.Goals = append(o.Goals, g.judge(m.Ratios[1]))
		} else {
			o.Goals = append(o.Goals, judgement{goal: g, Untold: true})
		}
	}
}

// metric is what was found of a quantity, or nil.
func (o *outcome) metric(q bench.Quantity) *bench.Metric {
	for i, m := range o.Comparison.Metrics {
		if m.Quantity == q {
			return &o.Comparison.Metrics[i]
		}
	}
	return nil
}

// failed are the names of what could not be measured.
func (r *report) failed() []string {
	var names []string
	for _, o := range r.Outcomes {
		if o.Error != "" && !o.Interrupted {
			names = append(names, o.Name)
		}
	}
	for _, one := range r.Repeated {
		if one.Error != "" {
			names = append(names, one.Name)
		}
	}
	return names
}

// write writes the report to a file, whole or not at all.
func (r *report) write(name string) error {
	content, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".peers-*")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(content, '\n'))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}
