package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/lab/faults"
	"github.com/loopcheck/loopcheck/lab/report"
)

// wrong are the states that say that something is not as it should be.
func wrong(state string) bool { return state == "fail" || state == "warn" }

// causes are those that were named, each once.
func causesOf(r report.Report) []report.Cause {
	var all []report.Cause
	for _, c := range r.Checks {
		for _, named := range c.Causes {
			if !slices.ContainsFunc(all, func(known report.Cause) bool { return known.ID == named.ID }) {
				all = append(all, named)
			}
		}
	}
	return all
}

// remedies are the commands that a user would run: the first of each cause.
func remediesOf(r report.Report) []string {
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
func says(c report.Cause, pattern *regexp.Regexp) bool {
	return pattern.MatchString(c.ID) || pattern.MatchString(c.Summary) || slices.ContainsFunc(c.Evidence, pattern.MatchString)
}

// flagged says whether a check of that ID, which may end with "*", was wrong.
func flagged(r report.Report, id string, unaskable bool) bool {
	return slices.ContainsFunc(r.Checks, func(c report.Check) bool {
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
func judge(f faults.Fault, r report.Report) finding {
	result := finding{Noticed: true, Named: true}
	for _, id := range f.Flagged {
		if flagged(r, id, f.Unaskable) {
			continue
		}
		result.Noticed = false
		for _, c := range r.Checks {
			result.Inconclusive = result.Inconclusive || matches(c.ID, id) && c.State == "inconclusive"
		}
	}
	named := causesOf(r)
	var patterns []*regexp.Regexp
	for _, text := range f.Causes {
		pattern := regexp.MustCompile("(?i)" + text)
		patterns = append(patterns, pattern)
		if !slices.ContainsFunc(named, func(c report.Cause) bool { return says(c, pattern) }) {
			result.Named = false
		}
	}
	for _, c := range named {
		if !slices.ContainsFunc(patterns, func(p *regexp.Regexp) bool { return says(c, p) }) {
			result.Unexpected = append(result.Unexpected, c.ID)
		}
	}
	return result
}

// alarms are the checks of a stack in order that say it is not, a line each.
func alarms(r report.Report) []string {
	var lines []string
	for _, c := range r.Checks {
		if wrong(c.State) || c.State == "inconclusive" {
			// All of it, on one line: what is seldom said is not seen again.
			lines = append(lines, fmt.Sprintf("%s %s: %s", c.ID, c.State, strings.Join(strings.Fields(c.Message), " ")))
		}
	}
	return lines
}
