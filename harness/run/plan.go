package run

import (
	"fmt"
	"slices"
	"strings"

	"github.com/onsi/ginkgo/v2/types"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Selection is what a user chose to have checked.
type Selection struct {
	// Suites names the suites; empty means all.
	Suites []string
	// LabelFilter is a Ginkgo label filter over check.Check.Labels; empty
	// means all. See https://onsi.github.io/ginkgo/#spec-labels.
	LabelFilter string
	// Full includes the checks marked slow, and the suites that are run on request.
	Full bool
	// Requested includes suites that are run on request beside those that are not.
	Requested []string
}

// UnknownSuiteError is a suite that does not exist.
type UnknownSuiteError struct {
	Name  string
	Known []string
}

func (e *UnknownSuiteError) Error() string {
	return fmt.Sprintf("unknown suite %q: write one or more of %s", e.Name, strings.Join(e.Known, ", "))
}

// FilterError is a label filter that cannot be read.
type FilterError struct {
	Filter string
	Reason string
}

func (e *FilterError) Error() string {
	return fmt.Sprintf("label filter %q: %s: write labels joined by && || ! and ( ), such as 'tcp && !TCP-029'", e.Filter, e.Reason)
}

// NothingSelectedError is a selection that holds no check.
type NothingSelectedError struct {
	// SlowOnly counts the checks that were left out for being slow alone.
	SlowOnly int
	// OnRequest names the suites whose checks matched, but which are run only when
	// they are named or everything is.
	OnRequest []string
}

func (e *NothingSelectedError) Error() string {
	if len(e.OnRequest) > 0 {
		return fmt.Sprintf("no check matched but those of suites that are run on request: add --suite %s, or --full", strings.Join(e.OnRequest, ","))
	}
	if e.SlowOnly > 0 {
		return fmt.Sprintf("no check matched but %d slow ones: add --full to run them", e.SlowOnly)
	}
	return "no check matched: see `loopcheck list` for every ID and suite"
}

// Plan returns the selected checks in the order of a run. The error is one of
// the three types above.
func (s Selection) Plan() ([]check.Check, error) {
	if err := s.validateSuites(); err != nil {
		return nil, err
	}
	matches, err := types.ParseLabelFilter(s.LabelFilter)
	if err != nil {
		return nil, &FilterError{Filter: s.LabelFilter, Reason: reasonOf(err)}
	}
	var plan []check.Check
	slowOnly := 0
	var unasked []string
	onRequest := map[string]bool{}
	for _, suite := range check.Suites() {
		onRequest[suite.Name] = suite.OnRequest
	}
	for _, c := range check.All() {
		named := slices.Contains(s.Suites, c.Suite)
		if len(s.Suites) > 0 && !named || !matches(c.Labels()) {
			continue
		}
		if onRequest[c.Suite] && !named && !s.Full && !slices.Contains(s.Requested, c.Suite) {
			if !slices.Contains(unasked, c.Suite) {
				unasked = append(unasked, c.Suite)
			}
			continue
		}
		if c.Slow && !s.Full {
			slowOnly++
			continue
		}
		plan = append(plan, c)
	}
	if len(plan) == 0 {
		return nil, &NothingSelectedError{SlowOnly: slowOnly, OnRequest: unasked}
	}
	return plan, nil
}

// Includes says whether a suite that is run on request is selected.
func (s Selection) Includes(suite string) bool {
	return s.Full && len(s.Suites) == 0 || slices.Contains(s.Suites, suite)
}

func (s Selection) validateSuites() error {
	var known []string
	for _, suite := range check.Suites() {
		known = append(known, suite.Name)
	}
	for _, name := range s.Suites {
		if !slices.Contains(known, name) {
			return &UnknownSuiteError{Name: name, Known: known}
		}
	}
	return nil
}

// reasonOf reduces Ginkgo's coloured, many-line error to its reason.
func reasonOf(err error) string {
	ginkgoErr, ok := err.(types.GinkgoError)
	if !ok {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(ginkgoErr.Message), "\n")
	return strings.TrimSuffix(strings.TrimSpace(lines[len(lines)-1]), ".")
}
