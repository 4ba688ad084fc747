// Package firewall holds the checks of the kernel's packet filter: does a rule
// of nftables do to a packet what it says.
//
// Each check loads rules into a sandbox, over netlink and with no program of
// nft(8), and asks as a client would, on lo and through a veth(4) whose inner
// end is named eth0. What the machine's own rules say does not matter to it:
// they are neither read nor touched.
package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("firewall", "Firewall: what nftables lets through", 70)

const (
	// patience bounds an answer, which takes microseconds. The rest is for a
	// machine whose processors are busy elsewhere.
	patience = 2 * time.Second
	// silence is how long nothing may come back for a packet to count as
	// dropped. On lo and veth the kernel delivers a packet, and sends what it
	// answers by itself, while the sender is still in its system call. That the
	// packet was met by the rule, and so was not merely late, the rule's own
	// counter tells.
	silence = 20 * time.Millisecond
)

// The firewall stands inside; its eth0 leads outside.
const inside, outside = "inside", "outside"

// port is what rules are about. Behind it, in every zone, stand a TCP listener
// and a UDP echo server, so that only a rule can keep a packet from an answer.
const port = 7777

// The two ends of the veth, with addresses for documentation (RFC 5737, RFC
// 3849). IPv6 is given to them by a function in the sandbox, which finds out
// whether there is any.
var (
	eth0   = sandbox.End{Zone: inside, Name: "eth0", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.1/24")}}
	uplink = sandbox.End{Zone: outside, Name: "uplink", Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.2/24")}}

	eth0V6   = netip.MustParsePrefix("2001:db8::1/64")
	uplinkV6 = netip.MustParsePrefix("2001:db8::2/64")

	surroundings = sandbox.Config{Zones: []string{inside, outside}, Links: []sandbox.Link{{A: eth0, B: uplink}}}
)

var (
	nfTables = check.Need{
		Name: "nf_tables",
		How:  "load it with `modprobe nf_tables`, for a container on the machine that runs it, or use a kernel with CONFIG_NF_TABLES",
	}
	nftReject = check.Need{
		Name: "nft_reject",
		How:  "load it with `modprobe -a nft_reject nft_reject_ipv4 nft_reject_ipv6 nft_reject_inet`, for a container on the machine that runs it, or use a kernel with CONFIG_NFT_REJECT",
	}
	nftCt = check.Need{
		Name: "conntrack",
		How:  "load it with `modprobe -a nft_ct nf_conntrack`, for a container on the machine that runs it, or use a kernel with CONFIG_NFT_CT and CONFIG_NF_CONNTRACK",
	}
)

// Causes and remedies that all checks share.
var (
	causes = []string{
		"a kernel whose nf_tables has a defect, or lacks a fix, as after an upgrade or a port to a small device",
		"a kernel module or an eBPF program of a security product or container network that handles packets of every network namespace before or after nftables",
		"a user-space network stack (gVisor, WSL 1) that knows nftables in part only",
	}
	remedies = []string{
		"see which hooks other code has registered: `nft list hooks`, `bpftool net show`, `bpftool cgroup tree`",
		"look for modules that do not belong to the kernel: `cat /proc/sys/kernel/tainted`, `lsmod`",
		"start the kernel that the distribution shipped before and run this check again: `loopcheck run --suite firewall`",
	}
)

// verify asks every question of the plan and compares the answers with what
// the rules say.
func verify(ctx context.Context, p plan) {
	GinkgoHelper()
	load := spec.StartLoad()
	s := spec.Sandbox(ctx, surroundings)
	seen, err := ask.Call(ctx, s, inside, p)
	spec.SkipLacking(err)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "ask behind the rules %v", p.Ruleset)
	skipWithout(seen.Lacks)
	if noteLackOfIPv6(seen.WithoutIPv6); seen.WithoutIPv6 != "" && !p.asksAbout(sock.IPv4) {
		spec.Skip(check.Need{Name: "IPv6", How: check.IPv6.How}, seen.WithoutIPv6)
	}
	expectAnswers(seen)
}

// expectAnswers compares what was seen with what the questions want, and
// records it.
func expectAnswers(seen outcome) {
	GinkgoHelper()
	noteAnswers(seen.Answers)
	for _, a := range seen.Answers {
		Expect(a.Answer.Verdict).To(Equal(a.Question.Want), "what became of %s", a.Question)
		if a.Question.Refused {
			Expect(a.Answer.Local).To(BeTrueBecause("sending %s was not refused with EPERM: %s", a.Question, a.Answer))
		}
	}
	for _, c := range seen.Counts {
		Expect(c.Packets).To(BeNumerically(">=", c.Expected), "packets that the rule `%s` of the table %s has counted", c.Rule, c.Table)
	}
}

// skipWithout ends the spec where the kernel cannot take the rules.
func skipWithout(l *lack) {
	if l == nil {
		return
	}
	needs := map[string]check.Need{nfTables.Name: nfTables, nftReject.Name: nftReject, nftCt.Name: nftCt}
	spec.Skip(needs[l.Need], l.Found)
}

func noteLackOfIPv6(why string) {
	if why != "" {
		spec.Evidence("IPv6", "not asked: %s", why)
	}
}

// noteAnswers records what was seen, a line for each family and path.
func noteAnswers(answers []answered) {
	type line struct {
		family sock.Family
		path   path
	}
	var order []line
	texts := map[line][]string{}
	for _, a := range answers {
		l := line{a.Question.Family, a.Question.Path}
		if texts[l] == nil {
			order = append(order, l)
		}
		texts[l] = append(texts[l], fmt.Sprintf("%s: %s", a.Question.what(), a.Answer))
	}
	for _, l := range order {
		spec.Evidence(fmt.Sprintf("%s %s", l.family, l.path), "%s", strings.Join(texts[l], "; "))
	}
}
