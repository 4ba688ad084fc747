package report

import (
	"cmp"
	"slices"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
)

// repeatedChecks is up to how many checks of one root cause are shown each for
// itself: of more, one says as much as all.
const repeatedChecks = 3

// concerns is what needs attention, in the order in which it is told.
type concerns struct {
	Roots    []RootCause
	Unseen   []unseenPlace
	Findings []Check // but those that are told of with a root cause of many
	Unasked  []Check
}

// unseenPlace is a place that could not be looked into for the causes of the
// checks.
type unseenPlace struct {
	diagnose.Unseen
	Checks []string // IDs
}

// told says whether the root cause stands for the checks that it explains.
func (root RootCause) told() bool { return len(root.Explains) > repeatedChecks }

func (r *Report) concerns() concerns {
	c := concerns{Roots: r.RootCauses(), Unseen: gatherUnseen(r.inOrder(needsAttention))}
	told := map[string]bool{}
	for _, root := range c.Roots {
		for _, id := range root.Explains {
			told[id] = told[id] || root.told()
		}
	}
	for _, found := range r.Attention() {
		switch {
		case found.State == check.Interrupted:
			c.Unasked = append(c.Unasked, found)
		case !told[found.ID]:
			c.Findings = append(c.Findings, found)
		}
	}
	return c
}

func needsAttention(c Check) bool { return c.State != check.Pass && c.State != check.Skip }

// inOrder returns the checks that are meant, in the order they ran in.
func (r *Report) inOrder(meant func(Check) bool) []Check {
	return slices.DeleteFunc(slices.Clone(r.Checks), func(c Check) bool { return !meant(c) })
}

func gatherCauses(checks []Check) []RootCause {
	var roots []RootCause
	for _, c := range checks {
		for _, cause := range c.Causes {
			i := slices.IndexFunc(roots, func(r RootCause) bool { return r.ID == cause.ID })
			if i < 0 {
				i = len(roots)
				roots = append(roots, RootCause{Cause: cause})
			}
			for _, remedy := range c.RemediesOf(cause.ID) {
				if !slices.Contains(roots[i].Remedies, remedy) {
					roots[i].Remedies = append(roots[i].Remedies, remedy)
				}
			}
			if !slices.Contains(roots[i].Explains, c.ID) {
				roots[i].Explains = append(roots[i].Explains, c.ID)
			}
		}
	}
	slices.SortStableFunc(roots, func(a, b RootCause) int {
		return cmp.Compare(len(b.Explains), len(a.Explains))
	})
	return roots
}

// gatherUnseen gathers what could not be looked into for the checks, each place
// once.
func gatherUnseen(checks []Check) []unseenPlace {
	var places []unseenPlace
	for _, c := range checks {
		for _, unseen := range c.Unseen {
			i := slices.IndexFunc(places, func(p unseenPlace) bool { return p.Unseen == unseen })
			if i < 0 {
				i = len(places)
				places = append(places, unseenPlace{Unseen: unseen})
			}
			if !slices.Contains(places[i].Checks, c.ID) {
				places[i].Checks = append(places[i].Checks, c.ID)
			}
		}
	}
	return places
}

func worstFirst(checks []Check) []Check {
	var found []Check
	for _, state := range check.States {
		for _, c := range checks {
			if c.State == state && needsAttention(c) {
				found = append(found, c)
			}
		}
	}
	return found
}
