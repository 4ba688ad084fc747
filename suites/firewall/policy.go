package firewall

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/check"
	rulesets "github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// policyTimeout bounds the first check of a policy, which asks for all of them.
// A thousand rules and as many expectations take some ten seconds.
const policyTimeout = 5 * time.Minute

// toldBreaches is how many breaches of an expectation its message tells. The
// report holds all of them.
const toldBreaches = 5

var familyAddresses = check.Need{
	Name: "addresses of the expectation's families",
	How:  "give the zones between which it goes an address of the family with `machine:`; IPv6 takes a kernel that has it",
}

// DeclarePolicy makes a check of every expectation of a policy, and then of every
// default, in the order of the file: POLICY-001 and so on. Ask is called once, by
// the first of them that runs. Call DeclarePolicy at most once, before the checks
// are planned.
func DeclarePolicy(p *policy.Policy, ask func(context.Context) (*policy.Result, error)) {
	d := &declaredPolicy{ask: ask}
	for _, e := range p.Expectations {
		d.declare(p, e.Name, e.Line)
	}
	for _, e := range p.Defaults {
		d.declare(p, e.Name(), e.Line)
	}
}

// declaredPolicy is a policy whose expectations are checks.
type declaredPolicy struct {
	ask      func(context.Context) (*policy.Result, error)
	declared int

	once   sync.Once
	result *policy.Result
	err    error
}

func (d *declaredPolicy) declare(p *policy.Policy, name string, line int) {
	i := d.declared
	d.declared++
	place := fmt.Sprintf("%s:%d", p.Path, line)
	suite.It(name, check.Check{
		ID: fmt.Sprintf("%s-%03d", check.PolicyTopic, i+1), Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
		Timeout: policyTimeout, Sandboxed: true,
		Source:   place,
		Asks:     "In a sandbox with the zones of the policy, its rules are loaded, and every packet that the expectation is about is sent. Each must meet the verdict that is expected.",
		Why:      "The policy says what this firewall is for. A port that is open against it is found by whoever scans for one, and a port that is closed against it is an outage.",
		Causes:   []string{"a rule that stands before the one that was meant to decide", "a rule that was taken away, or changed, without the policy", "a policy that was not brought up to date with the rules"},
		Remedies: []string{"mend the rule that is named as the one that decided, or put the right one before it", "or change the expectation at " + place},
	}, func(ctx SpecContext) { d.verify(ctx, i) })
}

// verify tells what came of one expectation.
func (d *declaredPolicy) verify(ctx context.Context, i int) {
	GinkgoHelper()
	d.once.Do(func() {
		if d.result, d.err = d.ask(ctx); d.err == nil {
			spec.Policy(d.result)
		}
	})
	skipUnasked(d.err)
	Expect(d.err).NotTo(HaveOccurred(), "ask about the policy")
	o := d.result.Outcomes[i]
	if o.Skipped != "" {
		spec.Skip(familyAddresses, o.Skipped)
	}
	spec.Evidence("packets asked", "%s", packetsOf(o))
	if len(o.Breaches) > 0 {
		Fail(broken(o))
	}
}

// skipUnasked skips the check where an error says that the machine lacks what it
// takes to load the rules.
func skipUnasked(err error) {
	GinkgoHelper()
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		spec.Skip(check.Need{Name: check.Sandbox.Name, How: refused.How}, refused.Error())
	}
	if missing, ok := errors.AsType[*rulesets.MissingProgramError](err); ok {
		spec.Skip(check.Need{Name: missing.Program, How: "install Debian's package " + missing.Package + ", or the like"}, missing.Error())
	}
	if denied, ok := errors.AsType[*rulesets.PermissionError](err); ok {
		spec.Skip(check.Need{Name: "CAP_NET_ADMIN", How: "run it as root, or name a file in the place of live under `rules:`"}, denied.Error())
	}
}

func packetsOf(o policy.Outcome) string {
	if o.Asked == 0 {
		return "none: expectations are about every port"
	}
	return strings.Join(o.Packets, "\n")
}

// broken says how an expectation does not hold: for each breach the packet, what
// was expected and what was seen, and the rule that decided.
func broken(o policy.Outcome) string {
	var b strings.Builder
	for i, breach := range o.Breaches {
		if i == toldBreaches {
			fmt.Fprintf(&b, "and %d more, which the report lists\n", len(o.Breaches)-i)
			break
		}
		fmt.Fprintf(&b, "%s\n  expected: %s\n  actual: %s\n  decided by: %s\n", breach.Packet(), o.Expected, breach.Verdict(), breach.Decider())
	}
	return strings.TrimSuffix(b.String(), "\n")
}
