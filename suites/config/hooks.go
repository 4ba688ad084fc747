package config

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/replay"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var netAdmin = check.Need{Name: "CAP_NET_ADMIN", How: "run as root, or give the binary the capability with `setcap cap_net_admin+ep loopcheck`"}

var _ = suite.It("lets what is sent over loopback pass netfilter unchanged", check.Check{
	ID: "CFG-004", Grade: check.GradeAdvice, OS: "linux", Needs: []check.Need{netAdmin, check.Sandbox},
	Source: "nft(8), address families and hooks; iptables(8)",
	Asks:   "Lists the chains of nf_tables and iptables that packets over loopback come to. Where any of them can do something, a copy of all rules is loaded into a network namespace of its own, TCP, UDP and ICMP are sent to 127.0.0.1 and, where there is IPv6, to ::1, and the kernel's packet trace is read: nothing may be dropped, translated or rewritten, but for what is beyond a limit, which is listed.",
	Why:    "A firewall is mostly written with the network in mind, and its rules hold for lo too where they do not say otherwise. Services that talk on localhost then fail only for the packets that the rule is about.",
	Causes: []string{
		"a rule without `iifname` that was meant for the network",
		"a chain with policy drop that does not let lo pass first",
	},
	Remedies: []string{spec.LetLoopbackPass},
}, func(ctx SpecContext) {
	rules, err := ruleset.Read(ctx)
	if refused, is := errors.AsType[*ruleset.PermissionError](err); is {
		spec.Skip(netAdmin, refused.Error())
	}
	if errors.Is(err, errors.ErrUnsupported) {
		spec.Skip(check.Linux, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	busy := 0
	for _, h := range rules.Loopback() {
		spec.Evidence(fmt.Sprintf("%s %s %s", h.Family, h.Table, h.Chain), "hook %s at priority %d, %s, policy %s, %d rules", h.Hook, h.Priority, h.Type, h.Policy, h.Rules)
		if !h.Idle {
			busy++
		}
	}
	if busy == 0 {
		spec.Evidence("netfilter", "no chain on the way of loopback does anything")
		return
	}
	spec.Sandbox(ctx, sandbox.Config{}) // where there are none, this skips
	var effects []string
	for _, flow := range flows() {
		found, err := replay.Through(ctx, rules, flow)
		Expect(err).NotTo(HaveOccurred(), "try the machine's rules with %s to %v", flow.Protocol, flow.To.Addr())
		for _, m := range found.Meetings {
			text := describe(rules, m)
			switch {
			case m.Partly:
				spec.Evidence("limit", "%s to %v: beyond a limit: %s", flow.Protocol, flow.To.Addr(), text)
			default:
				effects = append(effects, fmt.Sprintf("%s to %v: %s", flow.Protocol, flow.To.Addr(), text))
			}
		}
	}
	Expect(len(effects) == 0).To(BeTrueBecause("%s", strings.Join(effects, "; ")))
})

func flows() []replay.Flow {
	addrs := []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	if spec.LacksIPv6() == "" {
		addrs = append(addrs, netip.IPv6Loopback())
	}
	var flows []replay.Flow
	for _, protocol := range []string{"tcp", "udp", "icmp"} {
		for _, addr := range addrs {
			spec.Flow(protocol, netip.AddrPortFrom(addr, 0))
			flows = append(flows, replay.Flow{Protocol: protocol, To: netip.AddrPortFrom(addr, 0)})
		}
	}
	return flows
}

// describe says what a rule or policy does.
func describe(rules *ruleset.Ruleset, m replay.Meeting) string {
	what := string(m.Change)
	if m.Dropped {
		what = "drops"
	}
	chain := fmt.Sprintf("%s %s %s", m.Family, m.Table, m.Chain)
	if m.Legacy != "" {
		return fmt.Sprintf("%s: %s", m.Legacy, what)
	}
	if _, rule, found := rules.Find(m.Family, m.Table, m.Handle); found {
		return fmt.Sprintf("rule %q of chain %s %s it", rule.Text, chain, what)
	}
	return fmt.Sprintf("the policy of chain %s %s it", chain, what)
}
