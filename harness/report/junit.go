package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/reporters"

	"github.com/loopcheck/loopcheck/harness/check"
)

// JUnit writes the report as JUnit XML, a testsuite for each suite, in the form
// that Ginkgo's own reporter gives it. A warning is a passed test whose
// system-out tells of it, since it must not fail a build; an inconclusive check
// is a skipped one; what was interrupted is an error.
func JUnit(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		if err := writeXML(w, junitDocument(harmlessCopy(r))); err != nil {
			return fmt.Errorf("write the report as JUnit XML: %w", err)
		}
		return nil
	}
}

func writeXML(w io.Writer, document any) error {
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(document); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func junitDocument(r *Report) reporters.JUnitTestSuites {
	document := reporters.JUnitTestSuites{Time: r.Duration.Seconds()}
	for _, s := range r.suites() {
		suite := junitSuite(r, s)
		document.Tests += suite.Tests
		document.Disabled += suite.Skipped // on this level it counts skipped tests too
		document.Errors += suite.Errors
		document.Failures += suite.Failures
		document.TestSuites = append(document.TestSuites, suite)
	}
	return document
}

// suites are those of the report, and after them any that only its checks name.
func (r *Report) suites() []check.Suite {
	suites := slices.Clone(r.Suites)
	for _, c := range r.Checks {
		if !slices.ContainsFunc(suites, func(s check.Suite) bool { return s.Name == c.Suite }) {
			suites = append(suites, check.Suite{Name: c.Suite, Title: c.Suite})
		}
	}
	return suites
}

// checksOf are the checks of a suite in the order they ran in.
func (r *Report) checksOf(suite string) []Check {
	var checks []Check
	for _, c := range r.Checks {
		if c.Suite == suite {
			checks = append(checks, c)
		}
	}
	return checks
}

func took(checks []Check) time.Duration {
	var sum time.Duration
	for _, c := range checks {
		sum += c.Duration
	}
	return sum
}

func junitSuite(r *Report, s check.Suite) reporters.JUnitTestSuite {
	checks := r.checksOf(s.Name)
	suite := reporters.JUnitTestSuite{
		Name:      s.Name,
		Tests:     len(checks),
		Time:      took(checks).Seconds(),
		Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
		Properties: reporters.JUnitProperties{Properties: []reporters.JUnitProperty{
			{Name: "title", Value: s.Title},
			{Name: "loopcheck", Value: r.Tool.Version},
			{Name: "host", Value: r.Host.Hostname},
			{Name: "kernel", Value: r.Host.Kernel},
		}},
	}
	for _, c := range checks {
		test := junitCase(c)
		switch {
		case test.Failure != nil:
			suite.Failures++
		case test.Error != nil:
			suite.Errors++
		case test.Skipped != nil:
			suite.Skipped++
		}
		suite.TestCases = append(suite.TestCases, test)
	}
	return suite
}

func junitCase(c Check) reporters.JUnitTestCase {
	test := reporters.JUnitTestCase{
		Name:      strings.TrimSpace(oneLine(c.ID + " " + c.Title)),
		Classname: c.Suite,
		Time:      c.Duration.Seconds(),
	}
	message := strings.TrimSpace(c.Message)
	skipped := func(reason string) {
		test.Status = "skipped"
		test.Skipped = &reporters.JUnitSkipped{Message: "skipped - " + reason}
	}
	switch c.State {
	case check.Pass:
		test.Status = "passed"
	case check.Warn:
		test.Status = "passed"
		test.SystemOut = "warning: " + c.account()
	case check.Fail:
		test.Status = "failed"
		test.Failure = &reporters.JUnitFailure{
			Message: cmp.Or(message, "failed, and told no more"), Type: "failed", Description: c.account(),
		}
	case check.Skip:
		skipped(cmp.Or(message, "gave no reason"))
		if len(c.Causes) > 0 || len(c.Unseen) > 0 {
			test.SystemOut = c.account()
		}
	case check.Inconclusive:
		skipped("inconclusive: " + cmp.Or(message, "gave no reason"))
	default:
		test.Status = "interrupted"
		test.Error = &reporters.JUnitError{
			Message: cmp.Or(message, "the run was stopped before"), Type: "interrupted", Description: c.account(),
		}
	}
	return test
}

// account is all that is known of a check that did not pass, as plain text.
func (c Check) account() string {
	var out strings.Builder
	fmt.Fprintln(&out, cmp.Or(strings.TrimSpace(c.Message), string(c.State)+", and told no more"))
	for _, e := range c.Evidence {
		fmt.Fprintf(&out, "%s: %s\n", oneLine(e.What), e.Seen)
	}
	for _, cause := range c.Causes {
		fmt.Fprintf(&out, "cause: %s\n", oneLine(cause.Summary))
		for _, line := range cause.Evidence {
			fmt.Fprintf(&out, "  %s\n", oneLine(line))
		}
	}
	for _, remedy := range c.Remedies {
		fmt.Fprintf(&out, "remedy: %s\n", oneLine(remedy.Command))
		if remedy.Note != "" {
			fmt.Fprintf(&out, "  %s\n", oneLine(remedy.Note))
		}
	}
	for _, unseen := range c.Unseen {
		fmt.Fprintf(&out, "not looked at: %s: %s\n", oneLine(unseen.What), oneLine(unseen.Why))
	}
	fmt.Fprintf(&out, "source: %s\n", oneLine(c.Source))
	if c.Location != "" {
		fmt.Fprintf(&out, "asserted at %s\n", oneLine(c.Location))
	}
	return out.String()
}
