package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/lab/faults"
)

// report is what is judged of the JSON report of a run; docs/report.schema.json
// describes all of it.
type report struct {
	Checks []checked `json:"checks"`
}

type checked struct {
	ID       string   `json:"id"`
	Suite    string   `json:"suite"`
	State    string   `json:"state"`
	Message  string   `json:"message"`
	Causes   []cause  `json:"causes"`
	Remedies []remedy `json:"remedies"`
}

type cause struct {
	ID       string   `json:"id"`
	Summary  string   `json:"summary"`
	Evidence []string `json:"evidence"`
}

type remedy struct {
	Command string `json:"command"`
	Cause   string `json:"cause"`
}

func decodeReport(text []byte) (report, error) {
	var r report
	if len(bytes.TrimSpace(text)) == 0 {
		return r, errors.New("it wrote no report")
	}
	if err := json.Unmarshal(text, &r); err != nil {
		return r, fmt.Errorf("its report cannot be read: %w", err)
	}
	return r, nil
}

// wrong are the states that say that something is not as it should be.
func wrong(state string) bool { return state == "fail" || state == "warn" }

// causes are those that were named, each once.
func (r report) causes() []cause {
	var all []cause
	for _, c := range r.Checks {
		for _, named := range c.Causes {
			if !slices.ContainsFunc(all, func(known cause) bool { return known.ID == named.ID }) {
				all = append(all, named)
			}
		}
	}
	return all
}

// remedies are the commands that a user would run: the first of each cause.
func (r report) remedies() []string {
	var commands, mended []string
	for _, c := range r.Checks {
		for _, m := range c.Remedies {
			if !slices.Contains(mended, m.Cause) {
				mended = append(mended, m.Cause)
				commands = append(commands, m.Command)
			}
		}
	}
	return commands
}

// says whether something that is said of the cause matches.
func (c cause) says(pattern *regexp.Regexp) bool {
	return pattern.MatchString(c.ID) || pattern.MatchString(c.Summary) || slices.ContainsFunc(c.Evidence, pattern.MatchString)
}

// flagged says whether a check of that ID, which may end with "*", was wrong.
func (r report) flagged(id string, unaskable bool) bool {
	return slices.ContainsFunc(r.Checks, func(c checked) bool {
		return matches(c.ID, id) && (wrong(c.State) || unaskable && c.State == "skip" && len(c.Causes) > 0)
	})
}

func matches(id, pattern string) bool {
	if prefix, any := strings.CutSuffix(pattern, "*"); any {
		return strings.HasPrefix(id, prefix)
	}
	return id == pattern
}

// finding is what loopcheck made of one fault.
type finding struct {
	Noticed, Named bool
	// Inconclusive says that a check that had to be flagged could not be
	// decided.
	Inconclusive bool
	// Unexpected are the IDs of causes that have nothing to do with the fault.
	Unexpected []string
}

// judge compares a report with what has to be said of a fault.
func judge(f faults.Fault, r report) finding {
	result := finding{Noticed: true, Named: true}
	for _, id := range f.Flagged {
		if r.flagged(id, f.Unaskable) {
			continue
		}
		result.Noticed = false
		for _, c := range r.Checks {
			result.Inconclusive = result.Inconclusive || matches(c.ID, id) && c.State == "inconclusive"
		}
	}
	named := r.causes()
	var patterns []*regexp.Regexp
	for _, text := range f.Causes {
		pattern := regexp.MustCompile("(?i)" + text)
		patterns = append(patterns, pattern)
		if !slices.ContainsFunc(named, func(c cause) bool { return c.says(pattern) }) {
			result.Named = false
		}
	}
	for _, c := range named {
		if !slices.ContainsFunc(patterns, c.says) {
			result.Unexpected = append(result.Unexpected, c.ID)
		}
	}
	return result
}

// alarms are the checks of a stack in order that say it is not, a line each.
func alarms(r report) []string {
	var lines []string
	for _, c := range r.Checks {
		if wrong(c.State) || c.State == "inconclusive" {
			message, _, _ := strings.Cut(c.Message, "\n")
			lines = append(lines, fmt.Sprintf("%s %s: %s", c.ID, c.State, message))
		}
	}
	return lines
}
