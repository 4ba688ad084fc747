package firewall

import (
	"context"
	"fmt"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/verdict"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// flowPlan is rules under which flows are opened, of which one is then taken
// away, and what is asked afterwards.
type flowPlan struct {
	Ruleset ruleset
	// Open are the flows: for each question one, from its sender to its server.
	Open []question
	// Remove is which rule is taken away once they are open.
	Remove int
	// New is what is asked then.
	New plan
}

type flowOutcome struct {
	outcome
	Flows []flow
}

// flow is what became of one flow.
type flow struct {
	Question question
	// Failed says what did not come through, and when; empty if all did.
	Failed string
}

func (f flow) String() string {
	return fmt.Sprintf("%s over %s %s", f.Question.Protocol, f.Question.Family, f.Question.Path)
}

var keepFlows = sandbox.Register("firewall/flows", func(ctx context.Context, in *sandbox.Inside, p flowPlan) (flowOutcome, error) {
	return keepFlowsInside(ctx, in, p)
})

var _ = suite.It("lets established traffic pass and nothing new where only ct state established is accepted", check.Check{
	ID: "FW-024", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, nfTables, nftCt},
	Source: "nft(8), CONNTRACK EXPRESSIONS, state; Documentation/networking/nf_conntrack-sysctl.rst",
	Asks:   "In a sandbox, the policy of the input hook's chain is drop, and rules accept `ct state established` and port 7777. Over TCP and UDP, IPv4 and IPv6, flows are opened on lo, from outside and to the outside through eth0. Then the rule about port 7777 is removed. Each flow must still carry an echo there and back, while a new SYN and a new datagram to the port bring nothing back.",
	Why:    "Every stateful firewall rests on it: answers to what the machine asked come in, and a rule set can be tightened without cutting who is connected. Where the state is wrong, either nothing works or everything is let in.",
	Causes: append([]string{
		"a rule or module that takes packets out of connection tracking (`notrack`), or a full conntrack table",
	}, causes...),
	Remedies: append([]string{
		"compare the table's entries with its room: `sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max`, and `dmesg | grep conntrack`",
	}, remedies...),
}, func(ctx SpecContext) {
	rules := []rule{
		{Established: true, Does: accepted},
		{Protocols: bothProtocols, Port: port, Does: accepted},
		{Protocols: bothProtocols, Port: port},
	}
	load := spec.StartLoad()
	s := spec.Sandbox(ctx, surroundings)
	seen, err := keepFlows.Call(ctx, s, inside, flowPlan{
		Ruleset: ruleset{Hook: input, Policy: verdict.Drop, Rules: rules},
		Open:    each(bothProtocols, bothFamilies, []path{onLoopback, fromOutside, toOutside}, question{Port: port}),
		Remove:  1,
		New:     plan{Questions: each(bothProtocols, bothFamilies, waysIn, question{Port: port, Rule: 2, Want: dropped})},
	})
	spec.SkipLacking(err)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "open flows behind the rules %q", rules)
	skipWithout(seen.Lacks)
	noteLackOfIPv6(seen.WithoutIPv6)
	var flows []string
	for _, f := range seen.Flows {
		Expect(f.Failed).To(BeEmpty(), "%s", f)
		flows = append(flows, f.String())
	}
	spec.Evidence("flows", "%d went on after the rule that had let them in was removed: %s", len(flows), strings.Join(flows, ", "))
	expectAnswers(seen.outcome)
})
