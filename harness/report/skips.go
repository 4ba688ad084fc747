package report

import (
	"cmp"
	"slices"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
)

// skipGroup is the checks that were skipped for want of one need.
type skipGroup struct {
	Need   string // its name; the message where the check named no need
	How    string
	Checks []Check
	Causes []skipCause
	Unseen []unseenPlace
}

// skipCause is why a need is not met, with the remedies that do not stand
// further up already.
type skipCause struct {
	RootCause
	// Told says that the cause stands further up, with its evidence.
	Told bool
	// Partly says that it does not explain every check of its group.
	Partly bool
}

// skipGroups gathers the skipped checks by what they miss, in the order in
// which the first of each was run.
func (r *Report) skipGroups() []skipGroup {
	var groups []skipGroup
	for _, c := range r.inOrder(func(c Check) bool { return c.State == check.Skip }) {
		g := skipGroup{Need: cmp.Or(c.Message, "no reason given")}
		if c.Missing != nil {
			g.Need, g.How = c.Missing.Name, c.Missing.How
		}
		i := slices.IndexFunc(groups, func(other skipGroup) bool { return other.Need == g.Need && other.How == g.How })
		if i < 0 {
			i = len(groups)
			groups = append(groups, g)
		}
		groups[i].Checks = append(groups[i].Checks, c)
	}
	told := map[string]bool{}
	mended := map[diagnose.Remedy]bool{}
	tell := func(root RootCause) {
		told[root.ID] = true
		for _, remedy := range root.Remedies {
			mended[remedy] = true
		}
	}
	for _, root := range r.RootCauses() {
		tell(root)
	}
	for i, g := range groups {
		for _, root := range gatherCauses(g.Checks) {
			cause := skipCause{RootCause: root, Told: told[root.ID], Partly: len(root.Explains) < len(g.Checks)}
			cause.Remedies = slices.DeleteFunc(slices.Clone(root.Remedies), func(r diagnose.Remedy) bool { return mended[r] })
			groups[i].Causes = append(groups[i].Causes, cause)
			tell(root)
		}
		groups[i].Unseen = gatherUnseen(g.Checks)
	}
	return groups
}
