package diagnose

import (
	"fmt"
	"strings"
)

// telling are the counters of the kernel that move only where something is
// lost, refused or short, and what each of them says (RFC 4293, RFC 4022;
// Documentation/networking/snmp_counter.rst). Those that count retransmissions
// say that segments were lost, but not where.
var telling = []struct{ group, name, says string }{
	{"Ip", "InHdrErrors", "packets had a header that was wrong"},
	{"Ip", "InAddrErrors", "packets came to an address that is not the machine's"},
	{"Ip", "InDiscards", "packets were thrown away on arrival"},
	{"Ip", "OutDiscards", "packets were thrown away before they were sent"},
	{"Ip", "OutNoRoutes", "packets had no route to go by"},
	{"Ip", "ReasmFails", "datagrams in fragments could not be put together"},
	{"Ip", "FragFails", "datagrams could not be cut into fragments"},
	{"IpExt", "InNoRoutes", "packets arrived that had no route to go by"},
	{"IpExt", "InTruncatedPkts", "packets were cut short"},
	{"IpExt", "InCsumErrors", "packets had a header with a wrong checksum"},
	{"IpExt", "InCEPkts", "packets were marked as having met congestion (ECN)"},
	{"Ip6", "InHdrErrors", "IPv6 packets had a header that was wrong"},
	{"Ip6", "InAddrErrors", "IPv6 packets came to an address that is not the machine's"},
	{"Ip6", "InDiscards", "IPv6 packets were thrown away on arrival"},
	{"Ip6", "OutDiscards", "IPv6 packets were thrown away before they were sent"},
	{"Ip6", "OutNoRoutes", "IPv6 packets had no route to go by"},
	{"Ip6", "InNoRoutes", "IPv6 packets arrived that had no route to go by"},
	{"Ip6", "ReasmFails", "IPv6 datagrams in fragments could not be put together"},
	{"Icmp", "InCsumErrors", "ICMP messages had a wrong checksum"},
	{"Tcp", "InCsumErrors", "segments had a wrong checksum"},
	{"Udp", "InCsumErrors", "datagrams had a wrong checksum"},
	{"Udp", "RcvbufErrors", "datagrams found a receive buffer full"},
	{"Udp", "SndbufErrors", "datagrams found a send buffer full"},
	{"Udp", "MemErrors", "datagrams found the memory for UDP used up (net.ipv4.udp_mem)"},
	{"TcpExt", "ListenOverflows", "connections found the queue of a listener full"},
	{"TcpExt", "ListenDrops", "connections were turned away by a listener"},
	{"TcpExt", "TCPReqQFullDrop", "connections found the queue of half-open ones full"},
	{"TcpExt", "TCPReqQFullDoCookies", "the queue of half-open connections was full"},
	{"TcpExt", "TCPBacklogDrop", "segments found a socket's backlog full"},
	{"TcpExt", "TCPRcvQDrop", "segments found a receive queue full"},
	{"TcpExt", "TCPZeroWindowDrop", "segments came to a window of zero"},
	{"TcpExt", "TCPOFODrop", "segments out of order found no room"},
	{"TcpExt", "PruneCalled", "a receive buffer was too small for what came"},
	{"TcpExt", "RcvPruned", "segments were thrown out of a receive buffer"},
	{"TcpExt", "OfoPruned", "segments out of order were thrown out of a receive buffer"},
	{"TcpExt", "TCPAbortOnMemory", "connections were given up because memory for TCP was short (net.ipv4.tcp_mem)"},
	{"TcpExt", "TCPMemoryPressures", "memory for TCP was short (net.ipv4.tcp_mem)"},
	{"TcpExt", "PFMemallocDrop", "packets were thrown away because memory was short"},
	{"TcpExt", "IPReversePathFilter", "packets came from where their source is not (rp_filter)"},
	{"TcpExt", "TCPMinTTLDrop", "segments had come too far for their socket (IP_MINTTL)"},
	{"TcpExt", "TCPTimeWaitOverflow", "connections found no room in TIME_WAIT (net.ipv4.tcp_max_tw_buckets)"},
	{"TcpExt", "TCPMD5NotFound", "segments lacked the signature that their socket asks for"},
	{"TcpExt", "TCPTimeouts", "segments were not confirmed in time and sent again"},
	{"TcpExt", "TCPLostRetransmit", "segments were lost that had been sent again"},
	{"TcpExt", "TCPSynRetrans", "connections had to be asked for again"},
	{"TcpExt", "TCPFastRetrans", "segments were lost, or overtaken, and sent again"},
	{"TcpExt", "TCPSACKReorder", "segments overtook each other"},
	{"TcpExt", "TCPTSReorder", "segments overtook each other"},
	{"TcpExt", "TCPDSACKRecv", "segments arrived twice"},
	{"TcpExt", "TCPOFOQueue", "segments arrived out of order"},
}

// Counted is a counter of the kernel that moved while a check failed.
type Counted struct {
	Group, Name string // as in counters.Snapshot
	By          int64
	Check       string // its ID
	Says        string // what it counts, as a sentence of its own
}

func (c Counted) String() string {
	return fmt.Sprintf("%s %s moved by %d during %s: %s", c.Group, c.Name, c.By, c.Check, c.Says)
}

// counted are the telling counters that moved.
func counted(s Symptom) []Counted {
	var moved []Counted
	for _, t := range telling {
		// A counter that this kernel lacks has not moved.
		if by, _ := s.Moved.Get(t.group, t.name); by > 0 {
			moved = append(moved, Counted{Group: t.group, Name: t.name, By: by, Check: s.Check, Says: t.says})
		}
	}
	return moved
}

// countedFindings tell what the kernel counted while a check failed that nothing
// else explains. It is how the kernel saw the trouble, and seldom the reason.
func countedFindings(moved []Counted) []Finding {
	if len(moved) == 0 {
		return nil
	}
	first := moved[0]
	cause := Cause{
		ID:      "counter-" + first.Group + "-" + first.Name,
		Summary: "While it was asked, the kernel counted what ought not to be: " + first.Says + ".",
	}
	if more := len(moved) - 1; more > 0 {
		cause.Summary = fmt.Sprintf("%s and %d more.", strings.TrimSuffix(cause.Summary, "."), more)
	}
	for _, c := range moved {
		cause.Evidence = append(cause.Evidence, c.String())
	}
	cause.Evidence = append(cause.Evidence, "counted for all that goes on in this network namespace, not for the check alone; `nstat -az` lists them")
	return []Finding{{Cause: cause}}
}
