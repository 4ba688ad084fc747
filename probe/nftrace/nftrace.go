// Package nftrace answers which rule of nf_tables decided about a packet: it
// marks packets for tracing, reads the kernel's trace messages, and puts
// together what each packet met.
//
// A base chain reports its first message about a packet with the packet's
// headers, every rule that matched (rules that did not match say nothing), the
// end of chains that were jumped to, and its policy where no rule decided. A
// packet passes several base chains, and what one accepts a later one may still
// drop. A reject statement shows as a drop by its rule.
//
// Messages name a packet by a number that the kernel derives from where the
// packet lies in memory, from its flow and from the interface that it came in
// through (trace_fill_id, net/netfilter/nf_tables_trace.c). So a packet over lo
// has one number on its way out and another on its way in, and a number comes
// back with a later packet; Gatherer sees to both.
//
// Tables of iptables-legacy are not part of nf_tables and do not show.
//
// Reading needs CAP_NET_ADMIN over the network namespace.
package nftrace

import (
	"fmt"
)

// Type says what a message reports.
type Type string

const (
	// Rule: a rule matched, and gave the verdict.
	Rule Type = "rule"
	// Return: a rule returned from its chain, or, where Handle is 0, the chain
	// came to its end.
	Return Type = "return"
	// Policy: the base chain's policy decided.
	Policy Type = "policy"
)

// Code is what becomes of a packet, in the words of nft(8).
type Code string

const (
	Accept   Code = "accept"
	Drop     Code = "drop"
	Stolen   Code = "stolen" // kept by the kernel, as synproxy does
	Queue    Code = "queue"  // handed to a program
	Repeat   Code = "repeat"
	Continue Code = "continue"
	Break    Code = "break"
	Jump     Code = "jump"
	Goto     Code = "goto"
	Returned Code = "return"
)

// Verdict is what a rule, a chain's end or a policy said.
type Verdict struct {
	Code Code `json:"code"`
	// Chain is where a jump or goto leads.
	Chain string `json:"chain,omitempty"`
	// Queue is the number of the queue.
	Queue uint16 `json:"queue,omitempty"`
}

// Final says that the base chain is done with the packet.
func (v Verdict) Final() bool {
	switch v.Code {
	case Accept, Drop, Stolen, Queue:
		return true
	}
	return false
}

func (v Verdict) String() string {
	switch {
	case v.Chain != "":
		return string(v.Code) + " " + v.Chain
	case v.Code == Queue:
		return fmt.Sprintf("queue to %d", v.Queue)
	}
	return string(v.Code)
}

// Event is one trace message.
type Event struct {
	// ID names the packet, for a while.
	ID uint32 `json:"id"`
	// Family is that of the table, as nft(8) writes it: ip, ip6, inet, netdev,
	// bridge or arp.
	Family string `json:"family"`
	Table  string `json:"table"`
	Chain  string `json:"chain"`
	Type   Type   `json:"type"`
	// Handle is the rule's; 0 for a policy and for the end of a chain.
	Handle  uint64  `json:"handle,omitempty"`
	Verdict Verdict `json:"verdict"`
	Mark    uint32  `json:"mark,omitempty"`
	// Protocol is the family that the hook belongs to: in a table of family
	// inet it tells ip from ip6.
	Protocol string `json:"protocol"`
	// Conntrack is what connection tracking knew about the packet (kernels from
	// 6.16 on, where it has seen the packet).
	Conntrack *Conntrack `json:"conntrack,omitempty"`
	// Head is there in a base chain's first message about the packet.
	Head *Head `json:"head,omitempty"`
}

// Named says where the packet was, as "inet filter input".
func (e Event) Named() string { return e.Family + " " + e.Table + " " + e.Chain }

func (e Event) String() string {
	switch {
	case e.Type == Policy:
		return fmt.Sprintf("%s: policy %v", e.Named(), e.Verdict)
	case e.Handle == 0:
		return fmt.Sprintf("%s: end of chain", e.Named())
	}
	return fmt.Sprintf("%s: rule with handle %d: %v", e.Named(), e.Handle, e.Verdict)
}

// Conntrack is the state of the packet's connection.
type Conntrack struct {
	// State is as in nft's ct state: new, established, related or untracked.
	State string `json:"state"`
	// ID is as conntrack(8) shows it.
	ID uint32 `json:"id,omitempty"`
	// Reply says that the packet goes against the connection's direction.
	Reply bool `json:"reply,omitempty"`
	// Status holds the IPS_* bits of linux/netfilter/nf_conntrack_common.h.
	Status uint32 `json:"status,omitempty"`
}

// Head is the packet as it came to a base chain.
type Head struct {
	// In and Out are the interfaces, as far as there are any at that hook.
	In  *Interface `json:"in,omitempty"`
	Out *Interface `json:"out,omitempty"`
	// Packet is what its headers say.
	Packet Headers `json:"packet"`
	// LinkLayer, Network and Transport are the headers' first bytes: the kernel
	// sends at most 40 and 20 of the latter two.
	LinkLayer []byte `json:"link_layer,omitempty"`
	Network   []byte `json:"network,omitempty"`
	Transport []byte `json:"transport,omitempty"`
}

// Interface is one end of a packet's way.
type Interface struct {
	Index uint32 `json:"index"`
	// Type is an ARPHRD_* number of linux/if_arp.h.
	Type uint16 `json:"type"`
}

// loopback is the index of lo in every network namespace.
const loopback = 1

// PermissionError says that this user may not see or trace packets here.
type PermissionError struct {
	// Attempt is what was tried.
	Attempt string
	Err     error
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("%s: %v (needs CAP_NET_ADMIN over this network namespace: root, or a sandbox)", e.Attempt, e.Err)
}

func (e *PermissionError) Unwrap() error { return e.Err }
