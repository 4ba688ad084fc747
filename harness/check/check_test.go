package check

import (
	"slices"
	"testing"
	"time"
)

func entry(id, suite string) Check {
	return Check{ID: id, Suite: suite, Title: "does", Grade: GradeFail, Source: "here", Asks: "this", Why: "that"}
}

// isolated gives a test a catalogue of its own.
func isolated(t *testing.T) {
	t.Helper()
	before := registry
	registry.suites, registry.checks = map[string]Suite{}, map[string]Check{}
	t.Cleanup(func() { registry = before })
}

func TestTheCatalogueIsInTheOrderOfARun(t *testing.T) {
	isolated(t)
	RegisterSuite(Suite{Name: "last", Order: 9})
	RegisterSuite(Suite{Name: "first", Order: 1})
	for _, c := range []Check{entry("LAST-001", "last"), entry("FIRST-020", "first"), entry("FIRST-003", "first"), entry("ALSO-1000", "first"), entry("ALSO-999", "first")} {
		Register(c)
	}
	var ids []string
	for _, c := range All() {
		ids = append(ids, c.ID)
	}
	if want := []string{"ALSO-999", "ALSO-1000", "FIRST-003", "FIRST-020", "LAST-001"}; !slices.Equal(ids, want) {
		t.Errorf("got %v, want %v", ids, want)
	}
	if s := Suites(); len(s) != 2 || s[0].Name != "first" {
		t.Errorf("suites %v", s)
	}
	if c, ok := Lookup("FIRST-020"); !ok || c.Suite != "first" {
		t.Errorf("looked up %v, %v", c, ok)
	}
	if _, ok := Lookup("NONE-001"); ok {
		t.Error("found a check that nobody registered")
	}
}

func TestRegisterRefusesMistakes(t *testing.T) {
	for name, register := range map[string]func(){
		"a malformed ID": func() { Register(entry("tcp1", "tcp")) },
		"a taken ID":     func() { Register(entry("TCP-001", "tcp")); Register(entry("TCP-001", "tcp")) },
		"no reason why":  func() { c := entry("TCP-002", "tcp"); c.Why = ""; Register(c) },
		"a taken suite":  func() { RegisterSuite(Suite{Name: "tcp"}); RegisterSuite(Suite{Name: "tcp"}) },
	} {
		t.Run(name, func(t *testing.T) {
			isolated(t)
			defer func() {
				if recover() == nil {
					t.Error("was accepted")
				}
			}()
			register()
		})
	}
}

func TestLabelsAndDeadline(t *testing.T) {
	c := entry("TCP-008", "tcp")
	if got := c.Labels(); !slices.Equal(got, []string{"TCP-008", "tcp"}) || c.Deadline() != DefaultTimeout {
		t.Errorf("labels %v, deadline %v", got, c.Deadline())
	}
	c.Slow, c.Benchmark, c.Timeout = true, true, time.Minute
	if got := c.Labels(); !slices.Equal(got, []string{"TCP-008", "tcp", "slow", "benchmark"}) || c.Deadline() != time.Minute {
		t.Errorf("labels %v, deadline %v", got, c.Deadline())
	}
}

func TestOnlyGradeFailFails(t *testing.T) {
	for grade, want := range map[Grade]State{GradeFail: Fail, GradeWarn: Warn, GradeAdvice: Warn} {
		if got := grade.Broken(); got != want {
			t.Errorf("%s gives %s, want %s", grade, got, want)
		}
	}
}

func TestAPolicyIsNotOfTheCatalogue(t *testing.T) {
	for id, want := range map[string]bool{"POLICY-001": true, "POLICY-1000": true, "PORT-001": false, "": false} {
		if OfPolicy(id) != want {
			t.Errorf("%q: %v", id, !want)
		}
	}
}
