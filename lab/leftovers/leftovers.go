// Package leftovers answers whether a command left something behind on the
// machine it ran on, or changed it: two snapshots are taken, one before and
// one after, and every difference is named in one line.
//
// What belongs to a machine as a whole (firewall, sysctls, links, addresses,
// routes, mounts) is compared outright. What comes and goes all the time on a
// busy machine (processes, namespaces, sockets, files in /tmp) counts only
// where it can be traced to the watched command, for which a Watch has two
// handles: the process that every descendant of the command is certain to
// descend from, and a mark in the environment.
//
// Three things are not leaks although they outlive a command, because the
// kernel ends them: connections in TIME_WAIT, sockets that finish closing after
// their process is gone, and conntrack entries. Not compared at all are
// cgroups, BPF programs, ipsets, traffic filters and loaded kernel modules
// (a module shows by the sysctls it brings).
package leftovers

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"unicode"
)

// Kind is a kind of thing a command can leave behind.
type Kind string

const (
	Process   Kind = "process"
	Namespace Kind = "namespace"
	Socket    Kind = "socket"
	NFTables  Kind = "nftables"
	IPTables  Kind = "iptables" // the legacy tables; those of iptables-nft are nftables
	Sysctl    Kind = "sysctl"
	Link      Kind = "link"
	Address   Kind = "address"
	Route     Kind = "route"
	Rule      Kind = "rule" // of policy routing
	Qdisc     Kind = "qdisc"
	Mount     Kind = "mount"
	File      Kind = "file"
	IPC       Kind = "ipc" // System V shared memory, semaphores and queues
)

// Kinds holds every kind in the order differences are listed in.
var Kinds = []Kind{
	Process, Namespace, Socket, NFTables, IPTables, Sysctl,
	Link, Address, Route, Rule, Qdisc, Mount, File, IPC,
}

// Change says what became of a thing between two snapshots.
type Change string

const (
	Left    Change = "left"    // it was not there before
	Changed Change = "changed" // it is there with another value
	Gone    Change = "gone"    // it was there before and belongs to the machine
	// Unsure says that a kind could be looked at in only one of the two
	// snapshots, so that nothing is proven about it.
	Unsure Change = "unsure"
)

// Difference is one thing that a second snapshot shows otherwise than a first.
type Difference struct {
	Kind   Kind
	Change Change
	// Name says which thing it is, with its owner where one was found. For
	// Unsure it is the reason.
	Name string
	// Before and After are the values of a thing that Changed.
	Before, After string
}

// String is the difference in one line. Control characters that came from the
// machine, such as those of a file's name, are replaced.
func (d Difference) String() string {
	line := fmt.Sprintf("%s %s: %s", d.Kind, d.Change, d.Name)
	if d.Change == Changed {
		line += fmt.Sprintf(": from %q to %q", d.Before, d.After)
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, line)
}

// Snapshot is the state of the machine at one moment, as far as it could be
// looked at.
type Snapshot struct {
	areas map[Kind]area
}

// area is everything of one kind.
type area struct {
	entries map[string]entry
	// blind is why nothing of the kind could be looked at; empty if it could.
	blind string
	// notes say which part of the kind could not be looked at.
	notes []string
}

// entry is one thing. Its identity is the key it is stored under.
type entry struct {
	name  string
	value string
	// foreign marks a thing that the watched command certainly did not make: it
	// is remembered, so that it is not new later, and never reported as left.
	foreign bool
	// alone marks a thing that nobody but the watched command keeps. Where it was
	// foreign before, the kernel has given a number of a thing that ended to a new
	// one, as it does with namespaces.
	alone bool
	// lasting marks a thing whose disappearance is a change of the machine.
	lasting bool
}

func newArea() area { return area{entries: map[string]entry{}} }

func blindArea(reason string) area { return area{blind: reason} }

func (a *area) note(format string, args ...any) {
	a.notes = append(a.notes, fmt.Sprintf(format, args...))
}

// add stores an entry; of several under one key each gets a key of its own, so
// that a second copy (of a mount, of a firewall rule) is seen.
func (a *area) add(key string, e entry) {
	unique := key
	for n := 2; ; n++ {
		if _, taken := a.entries[unique]; !taken {
			break
		}
		unique = fmt.Sprintf("%s #%d", key, n)
	}
	a.entries[unique] = e
}

// Unseen lists what the snapshot could not look at and why, one line each, in
// the order of Kinds. Nothing is proven about those.
func (s Snapshot) Unseen() []string {
	var lines []string
	for _, kind := range Kinds {
		a := s.areas[kind]
		if a.blind != "" {
			lines = append(lines, fmt.Sprintf("%s: %s", kind, a.blind))
		}
		for _, note := range a.notes {
			lines = append(lines, fmt.Sprintf("%s: %s", kind, note))
		}
	}
	return lines
}

// Compare names what is left, changed or gone in the second snapshot, in the
// order of Kinds. Both have to be taken by Watches with the same Folders. What
// neither could look at is not compared: see Unseen.
func Compare(before, after Snapshot) []Difference {
	var found []Difference
	for _, kind := range Kinds {
		differences := compareArea(kind, before.areas[kind], after.areas[kind])
		if kind == Sysctl {
			differences = foldSysctls(differences)
		}
		found = append(found, differences...)
	}
	return found
}

func compareArea(kind Kind, before, after area) []Difference {
	switch {
	case before.blind != "" && after.blind != "":
		return nil
	case before.blind != "":
		return []Difference{{Kind: kind, Change: Unsure, Name: "could not be looked at before: " + before.blind}}
	case after.blind != "":
		return []Difference{{Kind: kind, Change: Unsure, Name: "could not be looked at afterwards: " + after.blind}}
	}
	var found []Difference
	for _, key := range slices.Sorted(maps.Keys(after.entries)) {
		now := after.entries[key]
		then, known := before.entries[key]
		switch {
		case !known && !now.foreign, then.foreign && now.alone:
			found = append(found, Difference{Kind: kind, Change: Left, Name: now.name})
		case known && then.value != now.value:
			found = append(found, Difference{Kind: kind, Change: Changed, Name: now.name, Before: then.value, After: now.value})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(before.entries)) {
		then := before.entries[key]
		if _, still := after.entries[key]; !still && then.lasting {
			found = append(found, Difference{Kind: kind, Change: Gone, Name: then.name})
		}
	}
	return found
}

// maxListedSysctls is how many new or gone sysctls of one folder are named one
// by one: an interface or a kernel module brings dozens.
const maxListedSysctls = 3

// foldSysctls makes one difference of the many that a whole folder of sysctls
// makes when it appears or goes.
func foldSysctls(differences []Difference) []Difference {
	type group struct {
		change Change
		folder string
	}
	groupOf := func(d Difference) group { return group{d.Change, path.Dir(sysctlPath(d.Name))} }
	count := map[group]int{}
	for _, d := range differences {
		count[groupOf(d)]++
	}
	var folded []Difference
	told := map[group]bool{}
	for _, d := range differences {
		g := groupOf(d)
		if d.Change == Changed || d.Change == Unsure || count[g] <= maxListedSysctls {
			folded = append(folded, d)
			continue
		}
		if !told[g] {
			told[g] = true
			d.Name = fmt.Sprintf("%d names under %s", count[g], sysctlName(g.folder))
			folded = append(folded, d)
		}
	}
	return folded
}

// swapSeparators turns the path of a sysctl below /proc/sys into its name and
// back, as sysctl(8) does: a dot in an interface's name becomes a slash.
var swapSeparators = strings.NewReplacer("/", ".", ".", "/")

func sysctlName(path string) string { return swapSeparators.Replace(path) }
func sysctlPath(name string) string { return swapSeparators.Replace(name) }
