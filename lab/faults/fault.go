// Package faults is the list of what the fault lab damages, and of what it
// leaves whole: every entry is data, and adding one is a few lines.
//
// The list only grows. An entry is not removed, nor asked less of, for a
// figure's sake: testdata/ledger.txt holds what was asked of each, and a test
// compares.
package faults

import (
	"slices"
	"strings"
	"syscall"
	"time"
)

// Fault is one way to damage a stack, and what has to be said of it.
//
// Commands are for sh, run as root of private user, network, mount and PID
// namespaces with lo up and an /etc of their own, of which nothing is kept.
type Fault struct {
	// Name is unique, in lower case with hyphens, such as "lo-mtu-1280".
	Name   string
	Family string
	// Hurts says what the fault does to a service, in a clause.
	Hurts string
	// World is what stands before the damage is done and has to stand after it
	// was mended, in commands.
	World []string
	// Damage is what is done to it, in commands.
	Damage []string
	// Machine is damage that takes a program that keeps running.
	Machine Machine
	// Process is damage to the process that asks, and not to the stack.
	Process Process
	// Flagged are the checks that have to fail or warn: all of them. "TCP-*"
	// stands for any one check of its kind.
	Flagged []string
	// Unaskable says that the fault takes away what a check needs in order to
	// be asked, so that a skip with a cause flags it.
	Unaskable bool
	// Causes are regular expressions (RE2, upper and lower case alike), each of
	// which has to match what is said of one cause: its ID, its summary or a
	// line of its evidence.
	Causes []string
	// NoRemedy is why no command can mend it; empty where one can.
	NoRemedy string
	// Beyond is why a part of what is asked of the fault is not reached; empty
	// where all of it ought to be.
	Beyond string
	// Ask are the suites and checks that can notice the fault; the suites of
	// Flagged where there are none.
	Ask []string
	// Quiet says that no other trial may run meanwhile: what the fault does shows in
	// what round trips take, and on a busy machine that is not decided.
	Quiet bool
	// RealRoot says that it takes real root, and not that of a user namespace, to
	// inject the fault or to mend it: BPF programs, hard limits.
	RealRoot bool
	// Needs are programs without which it cannot be injected.
	Needs []string
}

// Machine is damage done by a program beside the stack. One of its parts is
// set, or none.
type Machine struct {
	Relay     *Relay
	Hold      *Hold
	Conntrack bool // fills the table of tracked connections
	Cgroup    *Cgroup
}

// Relay sends the IPv4 traffic of lo through a program on a tun device, lab0,
// which does to it what a bad path does. Checksums are right afterwards.
type Relay struct {
	Protocol string        // "tcp" or "udp"; the other passes unharmed
	Delay    time.Duration // each packet is held for so long
	// Swap, Corrupt and Double are done to one packet with a payload in so
	// many: it goes after the next one, has a byte of its payload changed, or
	// goes twice. Zero is never.
	Swap, Corrupt, Double int
}

// Hold is a program that has bound every port of a range on all addresses.
type Hold struct {
	Network  string // "tcp" or "udp"
	From, To uint16
}

// Cgroup is a BPF program that says no, attached to the control group of the
// process that asks.
type Cgroup struct {
	Attach string // one of those that faultlab knows, such as "bind4" or "egress"
}

// Process is damage to the process that asks.
type Process struct {
	// Wrap is a command that starts the one that follows, such as
	// "prlimit --nofile=64:64".
	Wrap string
	// Refuse are system calls that a seccomp filter refuses.
	Refuse []string
	// Family is an address family, such as "inet6" or "netlink", for which
	// socket(2) is refused likewise, and Type a type of sockets, "raw".
	Family, Type string
	// Answer is the error of what is refused; EPERM where it is zero.
	Answer syscall.Errno
	// Hogs is how many busy processes run beside it.
	Hogs int
}

// Any says whether something is done to the process.
func (p Process) Any() bool { return p.Wrap != "" || p.Filtered() }

// Filtered says whether a seccomp filter is put before it.
func (p Process) Filtered() bool { return len(p.Refuse) > 0 || p.Family != "" || p.Type != "" }

// Variant is a machine that is in order although it differs from a plain one:
// nothing may be flagged.
type Variant struct {
	Name  string
	About string // in a clause
	World []string
	// Process is how the asking is done.
	Process Process
	Needs   []string
	// IDs is how many user IDs the namespace must map; 0 is one.
	IDs int
}

// All is the whole list, family after family.
func All() []Fault {
	return slices.Concat(interfaces, routing, disturbance, drops, rewriting, rates,
		queueing, settings, ephemeral, limits, rights, names, exposure, cgroups, pairs, later, slow)
}

// Families are the families in the order of All.
func Families() []string {
	var families []string
	for _, f := range All() {
		if !slices.Contains(families, f.Family) {
			families = append(families, f.Family)
		}
	}
	return families
}

// firewall is a ruleset that lets everything pass: what a fault adds to it has
// to be taken out of it, and it has to stay.
const firewall = `nft -f - <<'END'
table inet lab {
	chain input { type filter hook input priority 0; tcp dport 5999 accept; }
	chain output { type filter hook output priority 0; tcp dport 5999 accept; }
	chain tag { type route hook output priority -150; tcp dport 5999 accept; }
}
END`

const nat = `nft -f - <<'END'
table ip labnat {
	chain output { type nat hook output priority -100; tcp dport 5999 accept; }
	chain postrouting { type nat hook postrouting priority 100; tcp dport 5999 accept; }
}
END`

// rule is a fault that is one rule in the firewall's input chain, or where it
// begins with "output" or "tag" in that one.
func rule(text string) []string {
	for _, chain := range []string{"output", "tag"} {
		if rest, cut := strings.CutPrefix(text, chain+": "); cut {
			return []string{"nft 'add rule inet lab " + chain + " " + rest + "'"}
		}
	}
	return []string{"nft 'add rule inet lab input " + text + "'"}
}

func one(text string) []string { return []string{text} }
