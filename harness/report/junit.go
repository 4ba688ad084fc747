package report

import (
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
)

// JUnit writes the report as JUnit XML, a testsuite for each suite, in the part of
// that form that Jenkins, its xUnit plugin and GitLab agree on. A warning is a passed
// test whose system-out tells of it, since it must not fail a build; an inconclusive
// check is a skipped one; what was interrupted is an error. What is told of a test
// stands in an attribute, which Jenkins shows, and as text, which GitLab shows.
func JUnit(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		if err := writeXML(w, newJUnit(HarmlessCopy(r))); err != nil {
			return fmt.Errorf("write the report as JUnit XML: %w", err)
		}
		return nil
	}
}

type junitSuites struct {
	XMLName  xml.Name     `xml:"testsuites"`
	Tests    int          `xml:"tests,attr"`
	Failures int          `xml:"failures,attr"`
	Errors   int          `xml:"errors,attr"`
	Time     string       `xml:"time,attr"` // seconds
	Suites   []junitSuite `xml:"testsuite"`
}

type junitSuite struct {
	Name       string          `xml:"name,attr"`
	Tests      int             `xml:"tests,attr"`
	Failures   int             `xml:"failures,attr"`
	Errors     int             `xml:"errors,attr"`
	Skipped    int             `xml:"skipped,attr"`
	Time       string          `xml:"time,attr"`      // seconds
	Timestamp  string          `xml:"timestamp,attr"` // UTC, without a zone
	Hostname   string          `xml:"hostname,attr,omitempty"`
	Properties []junitProperty `xml:"properties>property"`
	Cases      []junitCase     `xml:"testcase"`
}

type junitProperty struct {
	Name  string `xml:"name,attr"`
	Value string `xml:"value,attr"`
}

type junitCase struct {
	Name      string        `xml:"name,attr"`
	Classname string        `xml:"classname,attr"`
	Time      string        `xml:"time,attr"` // seconds
	Skipped   *junitAccount `xml:"skipped"`
	Error     *junitAccount `xml:"error"`
	Failure   *junitAccount `xml:"failure"`
	SystemOut string        `xml:"system-out,omitempty"`
}

// junitAccount says why a test did not pass.
type junitAccount struct {
	Message string `xml:"message,attr"`
	Type    string `xml:"type,attr"`
	Text    string `xml:",chardata"`
}

// junitSeconds has no exponent, which not every reader takes.
func junitSeconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', 6, 64) }

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

func newJUnit(r *Report) junitSuites {
	document := junitSuites{Time: junitSeconds(r.Duration)}
	for _, s := range r.suites() {
		suite := newJUnitSuite(r, s)
		document.Tests += suite.Tests
		document.Errors += suite.Errors
		document.Failures += suite.Failures
		document.Suites = append(document.Suites, suite)
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

func newJUnitSuite(r *Report, s check.Suite) junitSuite {
	checks := r.checksOf(s.Name)
	suite := junitSuite{
		Name:      s.Name,
		Tests:     len(checks),
		Time:      junitSeconds(took(checks)),
		Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"),
		Hostname:  r.Host.Hostname,
		Properties: []junitProperty{
			{"title", s.Title},
			{"loopcheck", r.Tool.Version},
			{"host", r.Host.Hostname},
			{"kernel", r.Host.Kernel},
		},
	}
	for _, c := range checks {
		test := newJUnitCase(c)
		switch {
		case test.Failure != nil:
			suite.Failures++
		case test.Error != nil:
			suite.Errors++
		case test.Skipped != nil:
			suite.Skipped++
		}
		suite.Cases = append(suite.Cases, test)
	}
	return suite
}

func newJUnitCase(c Check) junitCase {
	test := junitCase{
		Name:      strings.TrimSpace(oneLine(c.ID + " " + c.Title)),
		Classname: c.Suite,
		Time:      junitSeconds(c.Duration),
	}
	message := strings.TrimSpace(c.Message)
	switch c.State {
	case check.Pass:
	case check.Warn:
		test.SystemOut = "warning: " + c.account()
	case check.Fail:
		test.Failure = &junitAccount{cmp.Or(message, "failed, and told no more"), "failed", c.account()}
	case check.Skip:
		reason := cmp.Or(message, "gave no reason")
		test.Skipped = &junitAccount{reason, "skipped", reason}
		if len(c.Causes) > 0 || len(c.Unseen) > 0 {
			test.SystemOut = c.account()
		}
	case check.Inconclusive:
		reason := "inconclusive: " + cmp.Or(message, "gave no reason")
		test.Skipped = &junitAccount{reason, "inconclusive", reason}
	default:
		test.Error = &junitAccount{cmp.Or(message, "the run was stopped before"), "interrupted", c.account()}
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
