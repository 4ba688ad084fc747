package report

import (
	"fmt"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
)

// namedInSentence is how many IDs the verdict sentence names before it counts
// the rest: more do not fit on a line.
const namedInSentence = 5

// Sentence is the verdict in one sentence. It claims soundness only where
// every check that was asked passed and at least one was.
func (r *Report) Sentence() string {
	s := r.Summary
	switch {
	case s.Total == 0:
		return "No check was run, so nothing is known of this machine."
	case r.Interrupted || s.Interrupted > 0:
		return r.interruptedSentence()
	case s.Failed > 0:
		sentence := fmt.Sprintf("%d of %s failed: %s", s.Failed, count(s.Total, "check"), r.named(check.Fail))
		if s.Warned > 0 {
			sentence += fmt.Sprintf("; %d more %s", s.Warned, plural(s.Warned, "warns", "warn"))
		}
		return sentence + "."
	case s.Warned > 0:
		return fmt.Sprintf("Nothing failed, but %d of %s %s: %s.",
			s.Warned, count(s.Total, "check"), plural(s.Warned, "warns", "warn"), r.named(check.Warn))
	case s.Inconclusive > 0:
		return fmt.Sprintf("Nothing failed, but %d of %s came to no conclusion: %s.",
			s.Inconclusive, count(s.Total, "check"), r.named(check.Inconclusive))
	case s.Passed == 0:
		return fmt.Sprintf("Nothing was verified: %s.", plural(s.Total,
			"the one check was skipped", fmt.Sprintf("all %d checks were skipped", s.Total)))
	case s.Skipped > 0:
		return fmt.Sprintf("%s as far as it was asked: %d of %s passed in %s, %d skipped.",
			r.claim(), s.Passed, count(s.Total, "check"), humanDuration(r.Duration), s.Skipped)
	}
	return fmt.Sprintf("%s: %d of %s passed in %s.",
		r.claim(), s.Passed, count(s.Total, "check"), humanDuration(r.Duration))
}

// claims are what is so where all checks of a suite pass, by its name, for suites
// that ask something else than whether the stack is sound.
var claims = map[string]string{}

// Claim says what a report of one suite alone claims where all its checks pass,
// as the beginning of a sentence. It is called while packages are initialised.
func Claim(suite, claim string) { claims[suite] = claim }

func (r *Report) claim() string {
	if !slices.ContainsFunc(r.Checks, func(c Check) bool { return !check.OfPolicy(c.ID) }) {
		return "The firewall does what its policy says"
	}
	if len(r.Suites) == 1 {
		if claim, special := claims[r.Suites[0].Name]; special {
			return claim
		}
	}
	return "The loopback stack is sound"
}

func (r *Report) interruptedSentence() string {
	s := r.Summary
	asked := s.Total - s.Interrupted
	if asked == 0 {
		return fmt.Sprintf("Interrupted before the first of %s ended.", count(s.Total, "check"))
	}
	found := "nothing failed until then"
	switch {
	case s.Failed > 0:
		found = fmt.Sprintf("%d failed until then: %s", s.Failed, r.named(check.Fail))
	case s.Warned > 0:
		found = fmt.Sprintf("nothing failed until then, %d warned: %s", s.Warned, r.named(check.Warn))
	case s.Passed == 0:
		found = "nothing was verified until then"
	}
	return fmt.Sprintf("Interrupted after %d of %s; %s.", asked, count(s.Total, "check"), found)
}

// named lists the IDs of the checks in a state, as many as fit on a line.
func (r *Report) named(state check.State) string {
	var ids []string
	for _, c := range r.Checks {
		if c.State == state {
			ids = append(ids, c.ID)
		}
	}
	if more := len(ids) - namedInSentence; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:namedInSentence], ", "), more)
	}
	return strings.Join(ids, ", ")
}
