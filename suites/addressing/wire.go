package addressing

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// What keeps lo apart from the network is asked in a sandbox of two zones that
// a cable joins: a machine, and a neighbour who sends it whatever they like.
const wireMachine, wireNeighbour = "machine", "neighbour"

// wireCard names both ends of the cable.
const wireCard = "eth0"

// The addresses of the ends are for documentation (RFC 5737, RFC 3849).
var (
	wireOwn    = netip.MustParsePrefix("192.0.2.1/24")
	wireOther  = netip.MustParsePrefix("192.0.2.2/24")
	wireOwn6   = netip.MustParsePrefix("2001:db8::1/64")
	wireOther6 = netip.MustParseAddr("2001:db8::2")
	// wireSecond is the machine's as well, on another interface.
	wireSecond = netip.MustParsePrefix("198.51.100.1/32")
)

var theWire = spec.ShareSandbox(sandbox.Config{
	Zones: []string{wireMachine, wireNeighbour},
	Links: []sandbox.Link{{
		A: sandbox.End{Zone: wireMachine, Name: wireCard, Addresses: []netip.Prefix{wireOwn}},
		B: sandbox.End{Zone: wireNeighbour, Name: wireCard, Addresses: []netip.Prefix{wireOther}},
	}},
})

var (
	wireVeth = check.Need{
		Name: "veth",
		How:  "load it with `modprobe veth`, for a container on the machine that runs it, or use a kernel with CONFIG_VETH",
	}
	wireNFTables = check.Need{
		Name: "nf_tables",
		How:  "load it with `modprobe nf_tables`, for a container on the machine that runs it, or use a kernel with CONFIG_NF_TABLES",
	}
	wireIPv6 = check.Need{
		Name: "IPv6",
		How:  "start the kernel without the parameter ipv6.disable=1; where IPv6 is a module, load it with `modprobe ipv6`",
	}
	// wireNeeds is what it takes to ask over the wire.
	wireNeeds = []check.Need{check.Sandbox, wireVeth, spec.PacketSockets, check.OwnSettings}
)

// Causes and remedies of what does not depend on the machine's own settings.
const (
	wireForeignStack = "a user-space stack or sandbox (gVisor, WSL 1), or a patched kernel, that treats such packets in another way"
	wireForeignCode  = "a kernel module or an eBPF program of a security product or container network that rewrites packets of every network namespace before the stack sees them"
	wireLookForCode  = "see who has a hand in packets: `bpftool net show`, `bpftool cgroup tree`, `cat /proc/sys/kernel/tainted`"
	wireHostsKernel  = "run it on the kernel of the distribution, and report what you saw to whoever made this one"
)

// wirePort is where the machine receives.
const wirePort = 7777

// wireDatagram is one datagram that the neighbour sends, whatever its addresses.
type wireDatagram struct {
	From, To netip.AddrPort
	// SYN says that it is a request for a connection in truth.
	SYN bool
	// Text is what it carries, by which it is known when it arrives.
	Text string
	// Arrives says that it ought to, and so has to be waited for. May says that
	// it may or may not.
	Arrives, May bool
}

// wireFrom is a datagram with the addresses, from a port that nobody listens on.
func wireFrom(from, to netip.Addr, text string) wireDatagram {
	const anyPort = 40000
	return wireDatagram{From: netip.AddrPortFrom(from, anyPort), To: netip.AddrPortFrom(to, wirePort), Text: text}
}

func (p wireDatagram) arriving() wireDatagram {
	p.Arrives = true
	return p
}

// wireControl is a datagram that has nothing wrong with it: that it arrives
// shows that those before it could have.
func wireControl(family sock.Family) wireDatagram {
	if family == sock.IPv6 {
		return wireFrom(wireOther6, wireOwn6.Addr(), "from the neighbour").arriving()
	}
	return wireFrom(wireOther.Addr(), wireOwn.Addr(), "from the neighbour").arriving()
}

// wirePlan is what the neighbour sends and how the machine is set meanwhile.
type wirePlan struct {
	// Settings are those of the machine beside the usual.
	Settings map[string]string
	// IPv6 says that the machine needs it.
	IPv6 bool
	// Second gives the machine another address, on lo.
	Second bool
	// At is the address that the machine receives at.
	At netip.Addr
	// Rule has the machine drop what is for 127.0.0.0/8 and comes in elsewhere
	// than over lo.
	Rule bool
	Send []wireDatagram
	// Listens has the machine listen for connections at the same port. It may
	// answer none of them.
	Listens bool
	// Counted is what has to count so much at least, by the names of wireCounters.
	Counted map[string]int64
}

// wireSeen is what became of it.
type wireSeen struct {
	// Without names what the machine lacks, "" for nothing, and Why says how
	// that was found.
	Without, Why string
	// Arrived is the text of each datagram that came, in their order.
	Arrived []string
	// Counted is by how much the counters grew that the plan names.
	Counted map[string]int64
	// Answers is how many segments of TCP the machine sent.
	Answers int64
	// Late says that what had to arrive or count did not within its time.
	Late bool
}

// The counters that a plan may name.
const (
	wireMartianSources      = "in_martian_src"
	wireMartianDestinations = "in_martian_dst"
	wireHeaderErrors        = "Ip6InHdrErrors"
	wireRuleCounter         = "packets that met the rule"
	wireSegments            = "segments sent"
)

// wireCounters reads those of the calling thread's network namespace, but for
// the rule's. What a kernel does not count stays 0.
func wireCounters() (map[string]int64, error) {
	martians, err := counters.ReadMartians()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	snapshot, err := counters.Read()
	if err != nil {
		return nil, err
	}
	return map[string]int64{
		wireMartianSources:      int64(martians.Sources),
		wireMartianDestinations: int64(martians.Destinations),
		wireHeaderErrors:        snapshot["Ip6"]["InHdrErrors"],
		wireSegments:            snapshot["Tcp"]["OutSegs"],
	}, nil
}

// expectWire has the neighbour send, compares what became of it with the plan,
// and records and returns it.
func expectWire(ctx context.Context, plan wirePlan, what string) wireSeen {
	GinkgoHelper()
	load := spec.StartLoad()
	box := theWire.Use(ctx, wireVeth)
	seen, err := wireAskInside.Call(spec.Within(ctx, 2*patience), box, wireMachine, plan)
	if err != nil {
		theWire.Drop()
	}
	wireSkip(seen, err)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "ask over the wire")
	spec.Evidence(what, "arrived: %q; counted: %v", seen.Arrived, seen.Counted)
	wrong, missing := plan.differences(seen)
	if len(wrong) == 0 && seen.Late {
		load.ExcuseTimeout(fmt.Errorf("%s: %s: %w", what, strings.Join(missing, "; "), context.DeadlineExceeded))
	}
	differs := append(wrong, missing...)
	Expect(len(differs) == 0).To(BeTrueBecause("%s: %s", what, strings.Join(differs, "; ")))
	return seen
}

// wireSkip ends the spec where this kernel or container lacks what it takes.
func wireSkip(seen wireSeen, err error) {
	GinkgoHelper()
	spec.SkipLacking(err)
	for _, need := range []check.Need{wireNFTables, wireIPv6} {
		if seen.Without == need.Name {
			spec.Skip(need, seen.Why)
		}
	}
}

// differences lists what is not as the plan says: what may not be, and what is
// missing, or late on a machine that is busy.
func (p wirePlan) differences(seen wireSeen) (wrong, missing []string) {
	for _, packet := range p.Send {
		arrived := slices.Contains(seen.Arrived, packet.Text)
		described := fmt.Sprintf("the datagram %s, from %v to %v,", packet.Text, packet.From, packet.To)
		switch {
		case packet.May || packet.SYN:
		case arrived && !packet.Arrives:
			wrong = append(wrong, described+" was let in")
		case !arrived && packet.Arrives:
			missing = append(missing, described+" did not arrive")
		}
	}
	if seen.Answers > 0 {
		wrong = append(wrong, fmt.Sprintf("the request for a connection was answered with %d segment(s)", seen.Answers))
	}
	for _, name := range []string{wireMartianSources, wireMartianDestinations, wireHeaderErrors, wireRuleCounter} {
		if want := p.Counted[name]; seen.Counted[name] < want {
			missing = append(missing, fmt.Sprintf("%s grew by %d and not by %d", name, seen.Counted[name], want))
		}
	}
	return wrong, missing
}

var wireAskInside = sandbox.Register("addressing/wire", wireAskHere)
