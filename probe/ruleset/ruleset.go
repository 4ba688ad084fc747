// Package ruleset answers which netfilter rules a network namespace has, and
// puts the same rules into another one: that of a sandbox, where packets may be
// sent through them and traced.
//
// What is read of nf_tables is kept as the kernel gave it, attribute by
// attribute, so that expressions which are unknown here are copied too. That
// includes the rules of iptables-nft. The tables of iptables-legacy are not
// part of nf_tables and are read and loaded by iptables' own programs.
//
// Reading needs CAP_NET_ADMIN over the network namespace. It changes nothing.
package ruleset

import (
	"fmt"
	"iter"
	"strings"
)

// Ruleset is everything in one network namespace. It can be encoded as JSON.
type Ruleset struct {
	// Generation is nf_tables' count of transactions at the time.
	Generation uint32  `json:"generation"`
	Tables     []Table `json:"tables,omitempty"`
	// Legacy4 and Legacy6 are the tables of iptables-legacy and
	// ip6tables-legacy.
	Legacy4 Legacy `json:"legacy4"`
	Legacy6 Legacy `json:"legacy6"`

	// legacyOrigins are the rules that those of iptables-legacy were made of,
	// where they were changed.
	legacyOrigins map[legacyRule]string
	// Interfaces are the indexes of the interfaces by name: rules may name an
	// interface by either.
	Interfaces map[string]uint32 `json:"interfaces,omitempty"`
}

// Table is one table of nf_tables.
type Table struct {
	// Family is ip, ip6, inet, netdev, bridge or arp.
	Family string `json:"family"`
	Name   string `json:"name"`
	// Dormant says that no packet passes the table's chains.
	Dormant bool `json:"dormant,omitempty"`
	// Owned says that the table belongs to a running program, and goes with it.
	Owned      bool        `json:"owned,omitempty"`
	Chains     []Chain     `json:"chains,omitempty"`
	Sets       []Set       `json:"sets,omitempty"`
	Objects    []Object    `json:"objects,omitempty"`
	Flowtables []Flowtable `json:"flowtables,omitempty"`
	// Attributes are the kernel's (NFTA_TABLE_*), as they came.
	Attributes []byte `json:"attributes"`
}

// Chain is a chain of rules.
type Chain struct {
	Name   string `json:"name"`
	Handle uint64 `json:"handle"`
	// Base is nil for a chain that packets come to by a jump or goto only.
	Base *Base `json:"base,omitempty"`
	// Bound says that the chain is part of a rule, as with "jump { … }".
	Bound bool   `json:"bound,omitempty"`
	Rules []Rule `json:"rules,omitempty"`
	// Attributes are the kernel's (NFTA_CHAIN_*).
	Attributes []byte `json:"attributes"`
}

// Base is what hangs a chain on the way of packets.
type Base struct {
	// Type is filter, nat or route.
	Type string `json:"type"`
	// Hook is prerouting, input, forward, output, postrouting, ingress or
	// egress.
	Hook string `json:"hook"`
	// Priority orders the chains of a hook, the lowest first.
	Priority int32 `json:"priority"`
	// Policy is accept or drop.
	Policy string `json:"policy"`
	// Devices are the interfaces of an ingress or egress chain. A name that
	// ends in "*" stands for all that begin so.
	Devices []string `json:"devices,omitempty"`
}

// Rule is one rule.
type Rule struct {
	// Handle names the rule within its table.
	Handle uint64 `json:"handle"`
	// Position counts the chain's rules from 1.
	Position int `json:"position"`
	// Comment is the one that nft or iptables was given.
	Comment string `json:"comment,omitempty"`
	// Text is the rule as nft(8) writes it; where nft is not installed, it only
	// says which rule it is.
	Text string `json:"text"`
	// Attributes are the kernel's (NFTA_RULE_*).
	Attributes []byte `json:"attributes"`
}

// Set is a set or a map.
type Set struct {
	Name string `json:"name"`
	// Anonymous says that it is part of a rule.
	Anonymous bool `json:"anonymous,omitempty"`
	Map       bool `json:"map,omitempty"`
	// Elements are the kernel's, each with its attributes (NFTA_SET_ELEM_*).
	Elements [][]byte `json:"elements,omitempty"`
	// Attributes are the kernel's (NFTA_SET_*).
	Attributes []byte `json:"attributes"`
}

// Object is a named counter, quota, limit, ct helper, timeout or expectation,
// synproxy, secmark or tunnel.
type Object struct {
	Name string `json:"name"`
	// Type is one of the kernel's NFT_OBJECT_* numbers.
	Type uint32 `json:"type"`
	// Attributes are the kernel's (NFTA_OBJ_*).
	Attributes []byte `json:"attributes"`
}

// Flowtable is a fast path for established connections.
type Flowtable struct {
	Name    string   `json:"name"`
	Devices []string `json:"devices,omitempty"`
	// Attributes are the kernel's (NFTA_FLOWTABLE_*).
	Attributes []byte `json:"attributes"`
}

// Legacy is what one of the two legacy programs knows.
type Legacy struct {
	// Tables are those that are in use.
	Tables []string `json:"tables,omitempty"`
	// Save is what iptables-legacy-save or ip6tables-legacy-save wrote about
	// them.
	Save string `json:"save,omitempty"`
	// Unread says why there is no Save although there are, or may be, tables.
	Unread string `json:"unread,omitempty"`
}

// All are the rules of every chain, each with its table.
func (r *Ruleset) All() iter.Seq2[Table, Rule] {
	return func(yield func(Table, Rule) bool) {
		for _, t := range r.Tables {
			for _, c := range t.Chains {
				for _, rule := range c.Rules {
					if !yield(t, rule) {
						return
					}
				}
			}
		}
	}
}

// Find looks a rule up as a trace names it: by its table's family and name, and
// its handle.
func (r *Ruleset) Find(family, table string, handle uint64) (chain Chain, rule Rule, found bool) {
	for _, t := range r.Tables {
		if t.Family != family || t.Name != table {
			continue
		}
		for _, c := range t.Chains {
			for _, rule := range c.Rules {
				if rule.Handle == handle {
					return c, rule, true
				}
			}
		}
	}
	return Chain{}, Rule{}, false
}

// Chain looks a chain up.
func (r *Ruleset) Chain(family, table, name string) (chain Chain, found bool) {
	for _, t := range r.Tables {
		if t.Family != family || t.Name != table {
			continue
		}
		for _, c := range t.Chains {
			if c.Name == name {
				return c, true
			}
		}
	}
	return Chain{}, false
}

// Empty says that there is not even a table. What could not be read is not
// taken for empty.
func (r *Ruleset) Empty() bool {
	return len(r.Tables) == 0 && r.Legacy4.empty() && r.Legacy6.empty()
}

func (l Legacy) empty() bool { return len(l.Tables) == 0 && l.Unread == "" }

// PermissionError says that this user may not see or change rules here.
type PermissionError struct {
	// Attempt is what was tried.
	Attempt string
	Err     error
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("%s: %v (needs CAP_NET_ADMIN over this network namespace: root, or a sandbox)", e.Attempt, e.Err)
}

func (e *PermissionError) Unwrap() error { return e.Err }

// MissingProgramError says that a program is not installed.
type MissingProgramError struct {
	Program string `json:"program"`
	// Package has the program, on Debian, Fedora and their kin.
	Package string `json:"package"`
	// Purpose is what the program was wanted for.
	Purpose string `json:"purpose"`
}

func (e *MissingProgramError) Error() string {
	return fmt.Sprintf("%s: %s is not installed (it is in the package %s)", e.Purpose, e.Program, e.Package)
}

// Refusal is a part of a ruleset that the kernel does not take, or that was
// left out of a copy.
type Refusal struct {
	// Kind is table, chain, set, elements, object, flowtable or rule.
	Kind   string `json:"kind"`
	Family string `json:"family"`
	Table  string `json:"table"`
	// Name is the chain's, set's, object's or flowtable's; for a rule, that of
	// its chain.
	Name string `json:"name,omitempty"`
	// Handle is the rule's in the ruleset that was to be copied.
	Handle uint64 `json:"handle,omitempty"`
	Why    string `json:"why"`
}

func (r Refusal) String() string {
	name := strings.TrimRight(fmt.Sprintf("%s %s %s %s", r.Kind, r.Family, r.Table, r.Name), " ")
	if r.Handle != 0 {
		name += fmt.Sprintf(" handle %d", r.Handle)
	}
	return name + ": " + r.Why
}

// RefusedError says that the kernel does not take a ruleset, and why: nothing
// of it was loaded then.
type RefusedError struct {
	Parts []Refusal `json:"parts"`
}

func (e *RefusedError) Error() string {
	if len(e.Parts) == 0 {
		return "the kernel refuses the rules"
	}
	text := "the kernel refuses the rules: " + e.Parts[0].String()
	if more := len(e.Parts) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// Copy says what became of a ruleset that was loaded.
type Copy struct {
	// Handles are the original handles of the copy's rules, by family and name
	// of the table.
	Handles map[string]map[uint64]uint64 `json:"handles,omitempty"`
	// Omitted are parts that were left out, because they name what the copy's
	// namespace does not have.
	Omitted []Refusal `json:"omitted,omitempty"`
	// Changed are parts that say in the copy not quite what they said in the
	// original.
	Changed []Refusal `json:"changed,omitempty"`
}

// Original is the handle in the ruleset that was copied of a rule of the copy.
func (c *Copy) Original(family, table string, handle uint64) (original uint64, found bool) {
	original, found = c.Handles[family+" "+table][handle]
	return original, found
}
