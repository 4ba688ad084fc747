package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onsi/ginkgo/v2/reporters"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/loopcheck/loopcheck/harness/check"
)

// everySpecState leaves Ginkgo's timelines out of the document: they hold
// nothing that the report knows of.
const everySpecState = ^types.SpecState(0)

// JUnit writes the report as JUnit XML, a testsuite for each suite. A warning
// is a passed test whose system-out tells of it, since it must not fail a
// build; an inconclusive check is a skipped one; what was interrupted is an
// error. Ginkgo's reporter decides the form; it writes to files only, so a
// temporary folder is made and removed.
func JUnit(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		r := harmless(r)
		folder, err := os.MkdirTemp("", "loopcheck-junit-")
		if err != nil {
			return fmt.Errorf("write the report as JUnit XML: %w", err)
		}
		defer os.RemoveAll(folder)

		document := reporters.JUnitTestSuites{Time: r.Duration.Seconds()}
		for _, s := range r.suites() {
			suite, err := junitSuite(r, s, filepath.Join(folder, "suite.xml"))
			if err != nil {
				return fmt.Errorf("write suite %s as JUnit XML: %w", s.Name, err)
			}
			document.Tests += suite.Tests
			document.Disabled += suite.Disabled + suite.Skipped
			document.Errors += suite.Errors
			document.Failures += suite.Failures
			document.TestSuites = append(document.TestSuites, suite)
		}
		body, err := xml.MarshalIndent(document, "", "  ")
		if err != nil {
			return fmt.Errorf("write the report as JUnit XML: %w", err)
		}
		_, err = io.WriteString(w, xml.Header+string(body)+"\n")
		return err
	}
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

// junitSuite has Ginkgo write one suite to a file and reads it back.
func junitSuite(r *Report, s check.Suite, file string) (reporters.JUnitTestSuite, error) {
	checks := r.checksOf(s.Name)
	ginkgoReport := types.Report{
		SuiteDescription: s.Name,
		StartTime:        r.Started,
		RunTime:          took(checks),
	}
	for _, c := range checks {
		ginkgoReport.SpecReports = append(ginkgoReport.SpecReports, specReport(c))
	}
	err := reporters.GenerateJUnitReportWithConfig(ginkgoReport, file, reporters.JunitReportConfig{
		OmitTimelinesForSpecState: everySpecState,
		OmitLeafNodeType:          true,
		OmitSpecLabels:            true,
	})
	if err != nil {
		return reporters.JUnitTestSuite{}, err
	}
	written, err := os.ReadFile(file)
	if err != nil {
		return reporters.JUnitTestSuite{}, err
	}
	var document reporters.JUnitTestSuites
	if err := xml.Unmarshal(written, &document); err != nil {
		return reporters.JUnitTestSuite{}, fmt.Errorf("read back what Ginkgo wrote: %w", err)
	}
	suite := document.TestSuites[0]
	suite.Properties = reporters.JUnitProperties{Properties: []reporters.JUnitProperty{
		{Name: "title", Value: s.Title},
		{Name: "loopcheck", Value: r.Tool.Version},
		{Name: "host", Value: r.Host.Hostname},
		{Name: "kernel", Value: r.Host.Kernel},
	}}
	// Ginkgo's description names its own nodes and the time of day, and drops
	// what looks like one of its colour marks; the report has its own.
	for i, c := range checks {
		test := &suite.TestCases[i]
		if test.Failure != nil {
			test.Failure.Description = c.account()
		}
		if test.Error != nil {
			test.Error.Description = c.account()
		}
	}
	return suite, nil
}

func specReport(c Check) types.SpecReport {
	spec := types.SpecReport{
		LeafNodeType: types.NodeTypeIt,
		LeafNodeText: oneLine(c.ID + " " + c.Title),
		RunTime:      c.Duration,
		NumAttempts:  1,
	}
	message := strings.TrimSpace(c.Message)
	switch c.State {
	case check.Pass:
		spec.State = types.SpecStatePassed
	case check.Warn:
		spec.State = types.SpecStatePassed
		spec.CapturedStdOutErr = "warning: " + c.account()
	case check.Fail:
		spec.State = types.SpecStateFailed
		spec.Failure.Message = cmp.Or(message, "failed, and told no more")
		spec.Failure.Location = codeLocation(c.Location)
	case check.Skip:
		spec.State = types.SpecStateSkipped
		spec.Failure.Message = cmp.Or(message, "gave no reason")
	case check.Inconclusive:
		spec.State = types.SpecStateSkipped
		spec.Failure.Message = "inconclusive: " + cmp.Or(message, "gave no reason")
	default:
		spec.State = types.SpecStateInterrupted
		spec.Failure.Message = cmp.Or(message, "the run was stopped before")
	}
	return spec
}

func codeLocation(location string) types.CodeLocation {
	file, line, _ := strings.Cut(location, ":")
	number, err := strconv.Atoi(line)
	if err != nil {
		return types.CodeLocation{FileName: file}
	}
	return types.CodeLocation{FileName: file, LineNumber: number}
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
	}
	fmt.Fprintf(&out, "source: %s\n", oneLine(c.Source))
	if c.Location != "" {
		fmt.Fprintf(&out, "asserted at %s\n", oneLine(c.Location))
	}
	return out.String()
}
