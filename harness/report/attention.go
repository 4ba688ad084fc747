package report

import (
	"cmp"
	"slices"

	"github.com/loopcheck/loopcheck/harness/check"
)

func gatherCauses(checks []Check) []RootCause {
	var roots []RootCause
	for _, c := range checks {
		for _, cause := range c.Causes {
			i := slices.IndexFunc(roots, func(r RootCause) bool { return r.ID == cause.ID })
			if i < 0 {
				i = len(roots)
				roots = append(roots, RootCause{Cause: cause})
				for _, remedy := range c.Remedies {
					if remedy.Cause == cause.ID {
						roots[i].Remedies = append(roots[i].Remedies, remedy)
					}
				}
			}
			roots[i].Explains = append(roots[i].Explains, c.ID)
		}
	}
	slices.SortStableFunc(roots, func(a, b RootCause) int {
		return cmp.Compare(len(b.Explains), len(a.Explains))
	})
	return roots
}

func worstFirst(checks []Check) []Check {
	var found []Check
	for _, state := range check.States {
		if state == check.Pass || state == check.Skip {
			continue
		}
		for _, c := range checks {
			if c.State == state {
				found = append(found, c)
			}
		}
	}
	return found
}
