package containers

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// asking asks what a plan asks. It is called in the zone of the host.
var asking = sandbox.Register("containers/ask", func(ctx context.Context, in *sandbox.Inside, p plan) (outcome, error) {
	return askInside(ctx, in, p)
})

// verify asks every question of the plan and compares what became of it with what
// was to.
func verify(ctx context.Context, p plan) {
	GinkgoHelper()
	load := spec.StartLoad()
	box := stand(ctx, p)
	seen, err := asking.Call(ctx, box, host, p)
	judge(load, seen, err)
	expectReplies(load, seen.Asked, seen.Why)
	if seen.WithoutIPv6 != "" && len(seen.Asked) == 0 {
		spec.Skip(check.Need{Name: "IPv6", How: check.IPv6.How}, seen.WithoutIPv6)
	}
}

// stand starts the sandbox of a plan.
func stand(ctx context.Context, p plan) *sandbox.Sandbox {
	GinkgoHelper()
	return spec.Sandbox(ctx, p.config())
}

// judge ends the spec where nothing could be asked.
func judge(load spec.Load, seen outcome, err error) {
	GinkgoHelper()
	spec.SkipLacking(err)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "ask between the namespaces of host and containers")
	if seen.Lacks != "" {
		skipWithout(seen.Lacks, seen.Found)
	}
	if seen.Lost != "" {
		spec.Evidence("a part of it", "not asked: %s", seen.Lost)
	}
	if seen.WithoutIPv6 != "" {
		spec.Evidence("IPv6", "not asked: %s", seen.WithoutIPv6)
	}
}

func skipWithout(name, found string) {
	GinkgoHelper()
	for _, need := range []check.Need{bridgeDevices, addressTranslation, bridgedRules, ruleProgram} {
		if need.Name == name {
			spec.Skip(need, found)
		}
	}
}

// expectReplies compares replies with what was wanted, and records them.
func expectReplies(load spec.Load, all []asked, why []string) {
	GinkgoHelper()
	for _, line := range why {
		spec.Evidence("found in the sandbox", "%s", line)
	}
	for _, a := range all {
		spec.Evidence(a.Question.String(), "%s", a.Reply)
	}
	for _, a := range all {
		got := a.Question.seen(a.Reply)
		if got == a.Question.Want {
			continue
		}
		if how, starved := load.Starved(); starved && got.End == silent && len(why) == 0 {
			spec.Inconclusive("%s: %s, but %s", a.Question, a.Reply, how)
		}
		Expect(got).To(Equal(a.Question.Want), "%s", strings.Join(append([]string{"what became of " + a.Question.String()}, why...), "\n"))
	}
}

// missingModule is what nft and iptables-restore say where the kernel lacks a module:
// ENOENT, EOPNOTSUPP or, of nf_tables itself, EPROTONOSUPPORT.
var missingModule = regexp.MustCompile(`(?i)no such file or directory|(operation|protocol) not supported|missing kernel module`)

// lacking takes note of what a kernel or machine lacks for the rules, and returns
// any other error: the rules are always the same, so that one is a defect.
func (seen *outcome) lacking(err error) error {
	if missing, ok := errors.AsType[*ruleset.MissingProgramError](err); ok {
		seen.Lacks, seen.Found = ruleProgram.Name, missing.Error()
		return nil
	}
	if refused, ok := errors.AsType[*ruleset.FileError](err); ok && missingModule.MatchString(refused.Message) {
		seen.Lacks, seen.Found = addressTranslation.Name, refused.Error()
		return nil
	}
	return err
}

// forBoth is what f makes for IPv4 and for IPv6.
func forBoth[T any](f func(sock.Family) []T) []T {
	return slices.Concat(f(sock.IPv4), f(sock.IPv6))
}
