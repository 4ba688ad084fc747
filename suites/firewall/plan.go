package firewall

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

// plan is what a check asks: rules, and the packets to try on them.
type plan struct {
	Ruleset   ruleset
	Questions []question
}

func (p plan) asksAbout(family sock.Family) bool {
	return slices.ContainsFunc(p.Questions, func(q question) bool { return q.Family == family })
}

// hook is where rules meet packets (nft(8), address families).
type hook string

const (
	input  hook = "input"
	output hook = "output"
)

// ruleset is one base chain at priority filter, for each family in a table of
// its own, ip and ip6, or for both in one of the family inet.
type ruleset struct {
	Hook   hook
	Policy verdict.Action
	Inet   bool
	Rules  []rule
}

// table is the family of the table whose rules packets of a family meet.
func (r ruleset) table(family sock.Family) string {
	switch {
	case r.Inet:
		return "inet"
	case family == sock.IPv6:
		return "ip6"
	}
	return "ip"
}

func (r ruleset) String() string {
	var rules []string
	for _, rule := range r.Rules {
		rules = append(rules, rule.String())
	}
	return fmt.Sprintf("%q, hook %s, policy %s", rules, r.Hook, r.Policy)
}

// rule matches packets and counts them. What it leaves empty it does not look
// at.
type rule struct {
	Protocols []sock.Kind
	Port      uint16 // of the destination; it takes Protocols
	// Interface is where the packet came in, or in the output hook goes out.
	Interface   string
	Established bool
	// Does is what becomes of the packet; the zero value only counts it.
	Does verdict.Verdict
}

// String is the rule as nft(8) writes it.
func (r rule) String() string {
	var words []string
	if r.Interface != "" {
		words = append(words, "interface "+r.Interface)
	}
	if r.Established {
		words = append(words, "ct state established")
	}
	if r.Port != 0 {
		var protocols []string
		for _, p := range r.Protocols {
			protocols = append(protocols, p.String())
		}
		words = append(words, fmt.Sprintf("%s dport %d", strings.Join(protocols, "/"), r.Port))
	}
	words = append(words, "counter")
	if r.Does.Action != "" {
		words = append(words, r.Does.String())
	}
	return strings.Join(words, " ")
}

// path is how a packet meets the firewall.
type path string

const (
	onLoopback  path = "on lo"
	fromOutside path = "from outside through eth0"
	toOutside   path = "to the outside through eth0"
)

// question is a packet to ask about and what is to become of it.
type question struct {
	Protocol sock.Kind
	Family   sock.Family
	Path     path
	Port     uint16
	// Rule is which of the rules it must meet.
	Rule int
	Want verdict.Verdict
	// Refused says that the sender must be told by EPERM.
	Refused bool
}

// what is the packet without its way.
func (q question) what() string {
	if q.Protocol == sock.TCP {
		return fmt.Sprintf("SYN to port %d", q.Port)
	}
	return fmt.Sprintf("datagram to port %d", q.Port)
}

func (q question) String() string {
	return fmt.Sprintf("the %s over %s %s", q.what(), q.Family, q.Path)
}

var (
	bothProtocols = []sock.Kind{sock.TCP, sock.UDP}
	bothFamilies  = []sock.Family{sock.IPv4, sock.IPv6}
	waysIn        = []path{onLoopback, fromOutside}
	waysOut       = []path{onLoopback, toOutside}
)

// each is one question for every protocol, family and path, as the template
// says for the rest.
func each(protocols []sock.Kind, families []sock.Family, paths []path, template question) []question {
	var all []question
	for _, family := range families {
		for _, path := range paths {
			for _, protocol := range protocols {
				q := template
				q.Protocol, q.Family, q.Path = protocol, family, path
				all = append(all, q)
			}
		}
	}
	return all
}

var (
	accepted = verdict.Verdict{Action: verdict.Accept}
	dropped  = verdict.Verdict{Action: verdict.Drop}
)

func rejected(kind verdict.Kind) verdict.Verdict {
	return verdict.Verdict{Action: verdict.Reject, Kind: kind}
}

// outcome is what was seen in the sandbox.
type outcome struct {
	// Lacks is what the kernel needs for the rules and does not have.
	Lacks *lack
	// WithoutIPv6 is why only IPv4 was asked, empty where both were.
	WithoutIPv6 string
	Answers     []answered
	Counts      []count
}

// lack names a Need.
type lack struct{ Need, Found string }

type answered struct {
	Question question
	Answer   verdict.Answer
}

// count is how many packets a rule has met, and how many at least were sent
// to meet it.
type count struct {
	Table    string
	Rule     string
	Packets  uint64
	Expected uint64
}

// ask loads the rules and asks the questions. It is called in the zone inside.
var ask = sandbox.Register("firewall/ask", func(ctx context.Context, in *sandbox.Inside, p plan) (outcome, error) {
	return askInside(ctx, in, p)
})
