package fleet

import (
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Check is the states of one check on all machines.
type Check struct {
	ID    string `json:"id"`
	Suite string `json:"suite"`
	Title string `json:"title"`
	// States are in the order of the machines; empty where it was not asked, or
	// where the run was stopped before.
	States []check.State `json:"states"`
	// Message is that of the first machine on which the check did not pass.
	Message string `json:"message"`
	// GoesWith names what of the machines decides the state, as far as these
	// machines show: all that are equal in it have the same state.
	GoesWith []string `json:"goes_with"`
}

// compareChecks keeps the checks that differ, fail or warn.
func (f *Fleet) compareChecks() {
	index := map[string]int{}
	var all []Check
	for i, m := range f.Machines {
		for _, c := range m.report.Checks {
			at, known := index[c.ID]
			if !known {
				at = len(all)
				index[c.ID] = at
				all = append(all, Check{
					ID: shown(c.ID), Suite: shown(c.Suite), Title: shown(c.Title),
					States: make([]check.State, len(f.Machines)), GoesWith: []string{},
				})
			}
			if c.State == check.Interrupted {
				continue
			}
			all[at].States[i] = c.State
			if all[at].Message == "" && c.State != check.Pass {
				all[at].Message = shown(strings.TrimSpace(c.Message))
			}
		}
	}
	for _, c := range all {
		if !c.worthALook() {
			f.Agreed++
			continue
		}
		c.GoesWith = f.goesWith(c)
		f.Checks = append(f.Checks, c)
	}
	// The worst first; those of one state keep their order.
	slices.SortStableFunc(f.Checks, func(a, b Check) int { return a.rank() - b.rank() })
}

// worthALook says whether the check fails or warns anywhere, or has several states.
func (c Check) worthALook() bool {
	return slices.Contains(c.States, check.Fail) || slices.Contains(c.States, check.Warn) || len(c.asked()) > 1
}

// asked are the states that occur, worst first.
func (c Check) asked() []check.State {
	return slices.DeleteFunc(slices.Clone(check.States), func(s check.State) bool { return !slices.Contains(c.States, s) })
}

func (c Check) rank() int { return slices.Index(check.States, c.asked()[0]) }

// goesWith names the traits by which the state of a check can be told: at least two
// states, each value of the trait has one, and some value is of several machines,
// since what is different on each machine tells everything.
func (f *Fleet) goesWith(c Check) []string {
	traits := []struct {
		name string
		of   func(Machine) string
	}{
		{"kernel", func(m Machine) string { return m.Kernel }},
		{"CPU", func(m Machine) string { return m.CPU }},
		{"OS", func(m Machine) string { return m.OS }},
		{"virtualization", func(m Machine) string { return m.Virtualization }},
		{"container", func(m Machine) string { return m.Container }},
	}
	found := []string{}
	if len(c.asked()) < 2 {
		return found
	}
	for _, trait := range traits {
		state, shared, uniform := map[string]check.State{}, false, true
		for i, m := range f.Machines {
			if c.States[i] == "" {
				continue
			}
			value := trait.of(m)
			known, twice := state[value]
			shared = shared || twice
			uniform = uniform && (!twice || known == c.States[i])
			state[value] = c.States[i]
		}
		if uniform && shared {
			found = append(found, trait.name)
		}
	}
	return found
}

// on names the machines on which a check has a state.
func (f *Fleet) on(c Check, state check.State) []string {
	var names []string
	for i, m := range f.Machines {
		if c.States[i] == state {
			names = append(names, m.Name)
		}
	}
	return names
}

// counted is a number with its noun.
func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
