// Package diagnose answers why a check failed: it looks up causes on the
// machine and brings the evidence and the command that mends each.
//
// A cause is never guessed. It is returned only when the state that makes it
// one was read from the machine while the check's own surroundings still stood.
package diagnose

import "context"

// Symptom is what is known of a check that failed.
type Symptom struct {
	Check   string // ID, such as "TCP-001"
	Suite   string
	IPv6    bool   // it was asked at ::1, and so says nothing of 127.0.0.1
	Message string // what the check saw, as it told it
}

// Cause is something found on the machine that explains a symptom.
type Cause struct {
	// ID is stable and names the kind of cause, such as "lo-down": the same
	// cause behind many checks is recognised by it.
	ID string `json:"id"`
	// Summary is one sentence.
	Summary string `json:"summary"`
	// Evidence is what was read, a line each.
	Evidence []string `json:"evidence"`
}

// Remedy is a command that mends a cause, ready to be pasted into a root shell.
type Remedy struct {
	Command string `json:"command"`
	Cause   string `json:"cause"` // the Cause's ID
}

// Finding is a cause with its remedies.
type Finding struct {
	Cause    Cause
	Remedies []Remedy
}

// finder looks for one kind of cause. It returns nothing when the machine is
// in order in that respect, or when it could not look.
type finder func(context.Context, Symptom) []Finding

// Find looks up the causes that explain a symptom. It changes nothing and
// sends nothing. An empty result means that no cause was found, not that
// there is none.
func Find(ctx context.Context, s Symptom) []Finding {
	var found []Finding
	for _, find := range finders {
		if ctx.Err() != nil {
			return found
		}
		found = append(found, find(ctx, s)...)
	}
	return found
}
