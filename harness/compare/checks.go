package compare

import (
	"cmp"
	"slices"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// Change is what became of a check or a listener.
type Change string

// Changes, in the order in which they are told.
const (
	Worse    Change = "worse"    // it warns or fails, which it did not, or fails and warned
	Changed  Change = "changed"  // neither worse nor better: such as to skip, from any
	Appeared Change = "appeared" // only the new has it
	Gone     Change = "gone"     // only the base has it
	Better   Change = "better"   // it passes or warns, which was worse
)

var changes = []Change{Worse, Changed, Appeared, Gone, Better}

// CheckChange is a check whose state is another than before.
type CheckChange struct {
	Change Change `json:"change"`
	ID     string `json:"id"`
	Suite  string `json:"suite"`
	Title  string `json:"title"`
	// Base and New are its states; empty where it is not there.
	Base check.State `json:"base,omitempty"`
	New  check.State `json:"new,omitempty"`
	// Message says why the new state is not pass.
	Message string `json:"message,omitempty"`
}

// Fails says that the check got worse and fails now.
func (c CheckChange) Fails() bool { return c.Change == Worse && c.New == check.Fail }

// severity is how bad a state is for the machine. What was not answered is no worse
// than what passed.
func severity(s check.State) int {
	switch s {
	case check.Fail:
		return 2
	case check.Warn:
		return 1
	}
	return 0
}

// answers says that a state is the answer to the check's question.
func answers(s check.State) bool { return s == check.Pass || s == check.Warn || s == check.Fail }

// became is what it means that a check was in one state and is in another.
func became(was, now check.State) Change {
	switch d := severity(now) - severity(was); {
	case d > 0:
		return Worse
	case d < 0 && answers(now):
		return Better
	}
	return Changed
}

// checkChanges are the checks that differ, how many both sides answered, and how
// many of those that both have one did not.
func checkChanges(base, after []report.Check) (found []CheckChange, compared, unanswered int) {
	found = []CheckChange{}
	if base == nil || after == nil {
		return found, 0, 0
	}
	before := map[string]report.Check{}
	for _, c := range base {
		before[c.ID] = c
	}
	now := map[string]bool{}
	for _, c := range after {
		now[c.ID] = true
		one := CheckChange{ID: c.ID, Suite: c.Suite, Title: c.Title, New: c.State, Message: c.Message, Change: Appeared}
		if was, had := before[c.ID]; had {
			if answers(was.State) && answers(c.State) {
				compared++
			} else {
				unanswered++
			}
			if was.State == c.State {
				continue
			}
			one.Base, one.Change = was.State, became(was.State, c.State)
		}
		found = append(found, one)
	}
	for _, c := range base {
		if !now[c.ID] {
			found = append(found, CheckChange{Change: Gone, ID: c.ID, Suite: c.Suite, Title: c.Title, Base: c.State})
		}
	}
	slices.SortStableFunc(found, func(a, b CheckChange) int {
		return cmp.Or(
			cmp.Compare(slices.Index(changes, a.Change), slices.Index(changes, b.Change)),
			cmp.Compare(severity(b.New), severity(a.New)),
		)
	})
	return found, compared, unanswered
}

// ListenerChange is a listener that only one side has.
type ListenerChange struct {
	Change    Change          `json:"change"` // Appeared or Gone
	Protocol  string          `json:"proto"`
	Address   string          `json:"address"`
	Port      uint16          `json:"port"`
	Scope     listeners.Scope `json:"scope"`
	Process   string          `json:"process"`
	User      string          `json:"user"`
	Unit      string          `json:"unit,omitempty"`
	Container string          `json:"container,omitempty"`
}

// listenerChanges are the listeners that are on one side only. One that another
// program has now is gone and appeared.
func listenerChanges(base, after []listeners.Listener) []ListenerChange {
	found := []ListenerChange{}
	if base == nil || after == nil {
		return found
	}
	return append(lone(found, Appeared, after, base), lone(nil, Gone, base, after)...)
}

// lone adds the listeners that are not among others, each once.
func lone(found []ListenerChange, change Change, these, others []listeners.Listener) []ListenerChange {
	known := map[ListenerChange]bool{}
	for _, l := range others {
		known[placeOf(l)] = true
	}
	for _, l := range these {
		if known[placeOf(l)] {
			continue
		}
		known[placeOf(l)] = true
		one := placeOf(l)
		one.Change, one.Scope, one.User, one.Unit, one.Container = change, l.Scope, l.User, l.Unit, l.Container
		found = append(found, one)
	}
	return found
}

// placeOf is what tells listeners apart: what they are bound to, and the program.
func placeOf(l listeners.Listener) ListenerChange {
	address := ""
	if l.Address.IsValid() {
		address = l.Address.String()
	}
	return ListenerChange{Protocol: l.Protocol, Address: address, Port: l.Port, Process: l.Process}
}
