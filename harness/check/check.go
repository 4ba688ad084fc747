// Package check says what a check is: one behaviour of a sound TCP/IP stack
// with a stable ID, its grade, its source and what it takes to ask for it.
//
// It is the one package that both the suites, which fill the catalogue, and
// the harness, which runs and reports it, know of.
package check

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// State is the verdict of a check.
type State string

const (
	Pass State = "pass"
	// Fail says that the stack breaks a standard or a documented kernel behaviour.
	Fail State = "fail"
	// Warn says that it works, but differs from what Linux does, or that a
	// setting is risky.
	Warn State = "warn"
	// Skip says that it cannot be asked here; the Need says what is missing.
	Skip State = "skip"
	// Inconclusive says that it was asked, but that the answer is not worth
	// relying on, and why.
	Inconclusive State = "inconclusive"
	// Interrupted says that the run was stopped before the answer was there.
	Interrupted State = "interrupted"
)

// States holds every state, those that need attention first.
var States = []State{Fail, Warn, Inconclusive, Interrupted, Skip, Pass}

// Grade says what a check that is not satisfied means.
type Grade string

const (
	// GradeFail is for behaviour that a standard or a kernel document defines.
	GradeFail Grade = "fail"
	// GradeWarn is for behaviour that Linux has and no text defines.
	GradeWarn Grade = "warn"
	// GradeAdvice is for a stack that does as it is told by a risky setting.
	GradeAdvice Grade = "advice"
)

// Broken is the state of a check of this grade whose expectation was not met.
func (g Grade) Broken() State {
	if g == GradeFail {
		return Fail
	}
	return Warn
}

// Need is a capability that a check has to have, with the way to get it.
type Need struct {
	// Name is short and stable, such as "CAP_NET_RAW".
	Name string `json:"name"`
	// How is the instruction that gives the capability.
	How string `json:"how"`
}

// Check is one entry of the catalogue.
type Check struct {
	// ID is stable and unique, such as "TCP-017".
	ID string `json:"id"`
	// Suite is the topic, such as "tcp". The suite fills it.
	Suite string `json:"suite"`
	// Title is what a healthy stack does, as a sentence without its subject:
	// "answers a SYN to a closed port with RST".
	Title string `json:"title"`
	Grade Grade  `json:"grade"`
	// Source names the text that defines the behaviour: RFC and section, man
	// page, kernel document; "linux" where only the implementation does.
	Source string `json:"source"`
	// Needs lists what it takes beyond an ordinary user on a machine with IPv4
	// loopback. Where one is missing the check is skipped and says so.
	Needs []Need `json:"needs,omitempty"`
	// OS is the one operating system whose behaviour is asked ("linux"), or
	// empty where every system is expected to behave so.
	OS string `json:"os,omitempty"`
	// Kernels are those of Linux that are expected to behave so.
	Kernels Kernels `json:"kernels,omitzero"`
	// Slow marks a check that waits too long for the quick profile, mostly for
	// timers of the kernel: it runs with --full only.
	Slow bool `json:"slow,omitempty"`
	// Benchmark marks a check that measures time, and so must have the machine
	// to itself.
	Benchmark bool `json:"benchmark,omitempty"`
	// Sandboxed says that it is asked in a sandbox where there is one, out of
	// reach of what is wrong with the machine's own stack.
	Sandboxed bool `json:"-"`
	// Timeout bounds the check; zero means DefaultTimeout.
	Timeout time.Duration `json:"-"`

	// Asks says what is sent and what is looked at.
	Asks string `json:"asks"`
	// Why says what breaks for somebody's service when this does not hold.
	Why string `json:"why"`
	// Causes are the usual reasons for a failure; Remedies what mends them.
	Causes   []string `json:"usual_causes"`
	Remedies []string `json:"usual_remedies"`
}

// DefaultTimeout bounds a check that names no Timeout of its own. Everything
// on loopback answers within milliseconds; ten seconds leave room for a
// machine whose processors are stolen for a while.
const DefaultTimeout = 10 * time.Second

// Labels are what --label-filter selects by: ID, suite, and "slow" and
// "benchmark" where they apply.
func (c Check) Labels() []string {
	labels := []string{c.ID, c.Suite}
	if c.Slow {
		labels = append(labels, "slow")
	}
	if c.Benchmark {
		labels = append(labels, "benchmark")
	}
	return labels
}

// Takes says whether a need is one of the check's. Names alone are compared: how to
// get a thing may be said differently from one check to another.
func (c Check) Takes(need Need) bool {
	return slices.ContainsFunc(c.Needs, func(n Need) bool { return n.Name == need.Name })
}

// Deadline is the time the check may take.
func (c Check) Deadline() time.Duration {
	return cmp.Or(c.Timeout, DefaultTimeout)
}

// Suite is the checks of one topic.
type Suite struct {
	// Name is what --suite takes.
	Name string `json:"name"`
	// Title tells a person what the suite is about.
	Title string `json:"title"`
	// Order places the suite in a run; checks of the first run first.
	Order int `json:"-"`
	// OnRequest leaves the suite out of a run that neither names it nor is full:
	// it is about what runs on the stack rather than about the stack.
	OnRequest bool `json:"-"`
}

// registry holds what the packages of the suites registered when they were
// initialised. Nothing is added afterwards, so reading needs no lock.
var registry = struct {
	suites map[string]Suite
	checks map[string]Check
}{map[string]Suite{}, map[string]Check{}}

var validID = regexp.MustCompile(`^[A-Z]+-\d{3,}$`)

// PolicyTopic is the topic of the IDs of what a user's policy expects of a
// firewall. The catalogue of this binary does not hold those checks.
const PolicyTopic = "POLICY"

// OfPolicy says whether an ID is that of an expectation of a policy.
func OfPolicy(id string) bool { return topic(id) == PolicyTopic }

// topic is what stands before the number of an ID.
func topic(id string) string {
	name, _, _ := strings.Cut(id, "-")
	return name
}

// RegisterSuite makes a suite known. Call it while packages are initialised.
// It panics on a name that is taken: that is a mistake in the source.
func RegisterSuite(s Suite) {
	if _, taken := registry.suites[s.Name]; taken {
		panic(fmt.Sprintf("check: suite %q is registered twice", s.Name))
	}
	registry.suites[s.Name] = s
}

// Register adds a check to the catalogue. Call it while packages are
// initialised, or before a run for what its user asks. It panics on an ID that is malformed or taken, and on an entry
// that lacks what explain prints: those are mistakes in the source.
func Register(c Check) {
	switch {
	case !validID.MatchString(c.ID):
		panic(fmt.Sprintf("check: %q is no ID such as TCP-017", c.ID))
	case c.Suite == "" || c.Title == "" || c.Grade == "" || c.Source == "" || c.Asks == "" || c.Why == "":
		panic(fmt.Sprintf("check: %s lacks its suite, title, grade, source, asks or why", c.ID))
	}
	if _, taken := registry.checks[c.ID]; taken {
		panic(fmt.Sprintf("check: %s is registered twice", c.ID))
	}
	registry.checks[c.ID] = c
}

// Suites returns every suite in the order of a run.
func Suites() []Suite {
	return slices.SortedFunc(maps.Values(registry.suites), func(a, b Suite) int {
		return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name, b.Name))
	})
}

// All returns the catalogue in the order of a run: suite by suite, by ID.
func All() []Check {
	return slices.SortedFunc(maps.Values(registry.checks), func(a, b Check) int {
		return cmp.Or(
			cmp.Compare(registry.suites[a.Suite].Order, registry.suites[b.Suite].Order),
			cmp.Compare(a.Suite, b.Suite),
			cmp.Compare(topic(a.ID), topic(b.ID)),
			cmp.Compare(len(a.ID), len(b.ID)), // POLICY-1000 comes after POLICY-999
			cmp.Compare(a.ID, b.ID))
	})
}

// Lookup returns the check of an ID.
func Lookup(id string) (Check, bool) {
	c, ok := registry.checks[id]
	return c, ok
}
