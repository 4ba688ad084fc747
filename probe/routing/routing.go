// Package routing answers whether what a machine sends to its loopback
// addresses is routed to itself: by the routing rules, of which the first has
// to be the one that looks up the local table, and by that table's routes
// (ip-rule(8), ip-route(8)). It reads over rtnetlink, in the calling thread's
// network namespace.
//
// It is implemented on Linux. Elsewhere Examine returns an error that wraps
// errors.ErrUnsupported.
package routing

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// Kind is what is wrong.
type Kind int

const (
	// NoLocalRule says that no rule looks up the local table.
	NoLocalRule Kind = iota
	// LateLocalRule says that the local table is looked up after the main one.
	LateLocalRule
	// RefusingRule is a rule before the local one that refuses packets.
	RefusingRule
	// DivertingRule is a rule before the local one that sends packets out
	// through another interface, by the Route.
	DivertingRule
	// RefusingRoute is a route of the local table that refuses packets to
	// loopback addresses, or has other tables decide about them.
	RefusingRoute
	// NoRoute says that the local table lacks a route that the kernel made
	// with the address.
	NoRoute
	// OddSource is a route that gives packets a source other than 127.0.0.1.
	OddSource
	// SmallMTU is a route with an MTU of its own, below that of lo.
	SmallMTU
	// SlowRoute is a route with other metrics of its own that hold back what
	// goes by it, and that lo's routes have not by themselves.
	SlowRoute
)

// Problem is one thing that is not as the kernel makes it and that hurts.
type Problem struct {
	Kind Kind
	IPv6 bool
	Rule Rule // of the kinds about a rule
	// Route is the one that is wrong, or that is missing.
	Route Route
}

// Rule is a routing policy rule.
type Rule struct {
	Priority uint32
	// From and To are the zero Prefix for all.
	From, To netip.Prefix
	// Selectors are what else it goes by, as ip-rule(8) writes them, such as
	// "fwmark 0x1" or "dport 62893".
	Selectors []string
	// Action is "lookup", "blackhole", "unreachable", "prohibit" or another by
	// its number.
	Action string
	Table  uint32 // that is looked up

	uids   [2]uint32
	byUID  bool
	marked bool // it goes by a mark, which only firewalls and few programs set
	inFace string
	// protocol is 0 for all, and ports for those from 0 to 0.
	protocol uint8
	ports    [2]uint16
}

// MeetsPort says whether a rule can meet packets of a protocol ("tcp", "udp",
// "icmp") to a port, 0 for one of the ephemeral range.
func (r Rule) MeetsPort(protocol string, port uint16) bool {
	if number := protocols[protocol]; r.protocol != 0 && number != 0 && r.protocol != number {
		return false
	}
	return r.ports == [2]uint16{} || r.ports[0] <= port && port <= r.ports[1]
}

var protocols = map[string]uint8{"icmp": 1, "tcp": 6, "udp": 17}

// Of everything, as far as the rule says.
func (r Rule) unconditional() bool {
	return !r.From.IsValid() && !r.To.IsValid() && len(r.Selectors) == 0
}

func (r Rule) refuses() bool {
	return r.Action == "blackhole" || r.Action == "unreachable" || r.Action == "prohibit"
}

// String is the rule as ip-rule(8) lists it.
func (r Rule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d: from %s", r.Priority, orAll(r.From))
	if r.To.IsValid() {
		fmt.Fprintf(&b, " to %s", r.To)
	}
	for _, s := range r.Selectors {
		b.WriteString(" " + s)
	}
	b.WriteString(" " + r.Action)
	if r.Action == "lookup" {
		b.WriteString(" " + tableName(r.Table))
	}
	return b.String()
}

func orAll(p netip.Prefix) string {
	if !p.IsValid() {
		return "all"
	}
	return p.String()
}

func tableName(number uint32) string {
	switch number {
	case localTable:
		return "local"
	case mainTable:
		return "main"
	case defaultTable:
		return "default"
	}
	return fmt.Sprint(number)
}

// The tables that the kernel makes (RT_TABLE_LOCAL and others,
// include/uapi/linux/rtnetlink.h).
const (
	defaultTable = 253
	mainTable    = 254
	localTable   = 255
)

// Route is a route of one of the tables.
type Route struct {
	To netip.Prefix
	// Type is "local", "broadcast", "blackhole", "unreachable", "prohibit",
	// "throw" or another by its number.
	Type     string
	Source   netip.Addr
	MTUBytes uint32 // 0 for the interface's
	// Metrics are the others that it has of its own.
	Metrics []Metric
	// Priority orders routes to the same destination, the lowest first; ip(8)
	// calls it the metric.
	Priority uint32
	Table    uint32
	// Interface is what it leads out through, the first of several; empty for one
	// that refuses.
	Interface string
}

// Metric is a property of what goes by a route, in the words of ip-route(8).
type Metric struct {
	Name string
	// Value is in the unit that the kernel has it in, bytes, packets or
	// milliseconds; of the congestion control there is a Text.
	Value uint32
	Text  string
}

func (m Metric) String() string {
	if m.Text != "" {
		return m.Name + " " + m.Text
	}
	return fmt.Sprintf("%s %d", m.Name, m.Value)
}

// slows says whether a metric can hold back traffic over lo, where old kernels
// write some that do not.
func (m Metric) slows() bool {
	const (
		wideWindow   = 1 << 20 // bytes
		largeMSS     = 16384   // bytes, more than Ethernet's
		usualCwnd    = 10      // segments (RFC 6928)
		usualRTOMin  = 200     // ms
		usualHopsTTL = 64
	)
	switch m.Name {
	case "window":
		return 0 < m.Value && m.Value < wideWindow
	case "advmss":
		return 0 < m.Value && m.Value < largeMSS
	case "cwnd", "initcwnd", "initrwnd", "ssthresh":
		return 0 < m.Value && m.Value < usualCwnd
	case "rto_min":
		return m.Value > usualRTOMin
	case "hoplimit":
		return 0 < m.Value && m.Value < usualHopsTTL
	}
	return m.Text != ""
}

// String is the route as ip-route(8) lists it.
func (r Route) String() string {
	text := r.Type + " " + r.To.String()
	if r.To.IsSingleIP() {
		text = r.Type + " " + r.To.Addr().String()
	}
	if r.Source.IsValid() {
		text += " src " + r.Source.String()
	}
	if r.Interface != "" && r.Interface != "lo" {
		text += " dev " + r.Interface
	}
	if r.MTUBytes != 0 {
		text += fmt.Sprintf(" mtu %d", r.MTUBytes)
	}
	for _, m := range r.Metrics {
		text += " " + m.String()
	}
	return text
}

// String tells what is wrong.
func (p Problem) String() string {
	switch p.Kind {
	case NoLocalRule:
		return "no routing rule looks up the local table"
	case LateLocalRule:
		return fmt.Sprintf("the local table is looked up only after the main one, by rule %q", p.Rule)
	case RefusingRule:
		return fmt.Sprintf("rule %q comes before the local table and refuses", p.Rule)
	case DivertingRule:
		return fmt.Sprintf("rule %q comes before the local table and sends packets out through %s, by route %q", p.Rule, p.Route.Interface, p.Route)
	case RefusingRoute:
		if p.Route.Type == "throw" {
			return fmt.Sprintf("route %q of the local table has the tables after it decide", p.Route)
		}
		return fmt.Sprintf("route %q of the local table refuses", p.Route)
	case NoRoute:
		return fmt.Sprintf("the local table has no route %q", p.Route)
	case OddSource:
		return fmt.Sprintf("route %q of the local table gives a source other than 127.0.0.1", p.Route)
	case SmallMTU:
		return fmt.Sprintf("route %q of the local table has an MTU of its own", p.Route)
	case SlowRoute:
		return fmt.Sprintf("route %q of the local table has metrics of its own that hold back what goes by it", p.Route)
	}
	return fmt.Sprintf("problem %d", int(p.Kind))
}

var (
	loopback4 = netip.MustParsePrefix("127.0.0.0/8")
	address4  = netip.MustParsePrefix("127.0.0.1/32")
	address6  = netip.MustParsePrefix("::1/128")
)

// judgeRules finds the rules that keep packets from the local table.
func judgeRules(rules []Rule, routes []Route, ipv6 bool, uid uint32) []Problem {
	own := loopback4
	if ipv6 {
		own = address6
	}
	var problems []Problem
	mainFirst := false
	for _, r := range rules {
		if r.Action == "lookup" && r.Table == localTable && r.unconditional() {
			if mainFirst {
				problems = append(problems, Problem{Kind: LateLocalRule, IPv6: ipv6, Rule: r})
			}
			return problems
		}
		switch {
		case r.refuses() && meets(r, own, uid):
			problems = append(problems, Problem{Kind: RefusingRule, IPv6: ipv6, Rule: r})
		case r.Action == "lookup" && r.Table == mainTable && r.unconditional():
			mainFirst = true
		case r.Action == "lookup" && !r.marked && meets(r, own, uid):
			if out, leads := wayOut(routes, r.Table, own); leads {
				problems = append(problems, Problem{Kind: DivertingRule, IPv6: ipv6, Rule: r, Route: out})
			}
		}
	}
	return append(problems, Problem{Kind: NoLocalRule, IPv6: ipv6})
}

// wayOut is the route by which a table sends packets to a loopback address out
// of the machine.
func wayOut(routes []Route, table uint32, own netip.Prefix) (best Route, leads bool) {
	for _, r := range routes {
		if r.Table == table && r.To.Overlaps(own) && (!leads || r.To.Bits() > best.To.Bits()) {
			best, leads = r, true
		}
	}
	return best, leads && best.Type == "unicast"
}

// meets says whether a rule can meet what this user sends over loopback.
func meets(r Rule, own netip.Prefix, uid uint32) bool {
	if r.To.IsValid() && !r.To.Overlaps(own) || r.From.IsValid() && !r.From.Overlaps(own) {
		return false
	}
	if r.byUID && (uid < r.uids[0] || uid > r.uids[1]) {
		return false
	}
	return r.inFace == "" || r.inFace == "lo"
}

// judgeRoutes finds what is wrong with the local table, on a machine whose lo
// has these prefixes and that MTU.
func judgeRoutes(routes []Route, ipv6 bool, onLo []netip.Prefix, mtu uint32) []Problem {
	var problems []Problem
	add := func(kind Kind, r Route) { problems = append(problems, Problem{Kind: kind, IPv6: ipv6, Route: r}) }
	local, refused := map[netip.Prefix]bool{}, map[netip.Prefix]bool{}
	for _, r := range routes {
		if r.Table != localTable || !r.To.Overlaps(loopback4) && r.To != address6 {
			continue
		}
		switch r.Type {
		case "local":
			local[r.To] = true
			// An address of one's own beside 127.0.0.1 is its own source.
			if (r.To == loopback4 || r.To == address4) && r.Source.IsValid() && r.Source != address4.Addr() {
				add(OddSource, r)
			}
			if r.MTUBytes != 0 && r.MTUBytes < mtu {
				add(SmallMTU, r)
			}
			if slices.ContainsFunc(r.Metrics, Metric.slows) {
				add(SlowRoute, r)
			}
		case "blackhole", "unreachable", "prohibit", "throw":
			refused[r.To] = true
			add(RefusingRoute, r)
		}
	}
	for _, p := range onLo {
		switch {
		case ipv6 && p == address6 && !local[address6]:
			add(NoRoute, Route{To: address6, Type: "local"})
		case !ipv6 && p.Addr() == address4.Addr() && p.Bits() == loopback4.Bits() && !local[loopback4]:
			// The route of the address goes first: it makes the address one
			// that the other can have as its source.
			if !local[address4] && !refused[address4] {
				add(NoRoute, Route{To: address4, Type: "local", Source: address4.Addr()})
			}
			add(NoRoute, Route{To: loopback4, Type: "local", Source: address4.Addr()})
		case !ipv6 && p == address4 && !local[address4] && !refused[address4]:
			add(NoRoute, Route{To: address4, Type: "local", Source: address4.Addr()})
		}
	}
	return problems
}
