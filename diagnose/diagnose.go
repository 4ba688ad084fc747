// Package diagnose answers why a check failed: it looks up causes on the
// machine and brings the evidence and the command that mends each.
//
// A cause is never guessed. It is returned only when the state that makes it
// one was read from the machine while the check's own surroundings still stood.
package diagnose

import (
	"context"
	"slices"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/replay"
)

// Symptom is what is known of a check that failed, or that could not be asked.
type Symptom struct {
	Check   string // ID, such as "TCP-001"
	Suite   string
	IPv6    bool   // it was asked at ::1, and so says nothing of 127.0.0.1
	Message string // what the check saw, as it told it
	// Sandboxed says that it was asked in a sandbox, out of reach of whatever
	// is wrong with the machine's own stack: only this process may be why.
	Sandboxed bool
	// Missing names what it was skipped for want of; empty where it failed.
	Missing string
	// Flows is what it sent, each once.
	Flows []Flow
	// Moved is what the kernel counted meanwhile, in the namespace of this
	// process; nil where that is not known.
	Moved counters.Snapshot
}

// Flow is traffic between this machine and itself.
type Flow = replay.Flow

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
	// Note says what else the command does, or what to do in its place where
	// that is not wanted; mostly empty.
	Note string `json:"note,omitempty"`
}

// Finding is a cause with its remedies.
type Finding struct {
	Cause    Cause
	Remedies []Remedy
}

// Unseen is a place where a cause may be and that could not be looked into.
type Unseen struct {
	What string `json:"what"` // such as "netfilter rules"
	Why  string `json:"why"`  // with what the user would do about it
}

// Diagnosis is what the search for the causes of one symptom came to.
type Diagnosis struct {
	Findings []Finding
	// Unseen matters where nothing was found.
	Unseen []Unseen
	// Counted is what the kernel counted meanwhile that ought not to be, where
	// nothing else was found.
	Counted []Counted
}

// finder looks for one kind of cause. It finds nothing when the machine is in
// order in that respect.
type finder func(context.Context, Symptom) Diagnosis

// ofProcess look at this process, whose rights and limits hold in a sandbox as
// well, and ofMachine at the machine. They are asked in this order.
var (
	ofProcess = []finder{pingPrivileges, openFiles, limits, seccompFilter}
	ofMachine = []finder{loopbackInterface, loopbackDevice, memory, settings, names, portsHeld, exposedServices, databases, loopbackRouting, containers, netfilter, slowRules, conntrack}
	// lastResort are looked at where the others found nothing: what they find
	// can be the cause, and is in order on many machines.
	lastResort = []finder{groupPrograms}
)

// Find looks up the causes that explain a symptom. It changes nothing on the
// machine and sends nothing on it: what has to be tried is tried in a sandbox.
// No findings mean that no cause was found, not that there is none.
func Find(ctx context.Context, s Symptom) Diagnosis {
	var d Diagnosis
	finders := slices.Concat(ofProcess, ofMachine)
	if s.Sandboxed {
		finders = ofProcess
	}
	d.search(ctx, s, finders)
	if len(d.Findings) == 0 && !s.Sandboxed {
		d.search(ctx, s, lastResort)
	}
	if len(d.Findings) == 0 && !s.Sandboxed && s.Missing == "" {
		d.Counted = counted(s)
		// What the kernel counted does not stand for a cause that may be where
		// nobody could look.
		if len(d.Unseen) == 0 {
			d.Findings = countedFindings(d.Counted)
		}
	}
	return d
}

func (d *Diagnosis) search(ctx context.Context, s Symptom, finders []finder) {
	for _, find := range finders {
		if ctx.Err() != nil {
			return
		}
		more := find(ctx, s)
		d.Findings = append(d.Findings, more.Findings...)
		d.Unseen = append(d.Unseen, more.Unseen...)
		if endsSearch(more.Findings) {
			return
		}
	}
}

// endsSearch says whether a cause leaves nothing for others to be told by:
// without its interface, whatever else is odd about loopback explains nothing.
func endsSearch(found []Finding) bool {
	for _, f := range found {
		if f.Cause.ID == loMissing || f.Cause.ID == loDown {
			return true
		}
	}
	return false
}
