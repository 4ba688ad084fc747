package damage

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Case is a damaged stack and what the checks have to say of it.
type Case struct {
	// Setup and Filter are those of Outcomes.
	Setup  []string
	Filter string
	// Want holds, by the ID of each check that the damage must not satisfy,
	// what its message must contain. Such a check must be in the state that
	// its grade gives to a broken one; every other selected check must pass.
	Want map[string]string
}

// Every is what a Case wants where all checks of the test binary must say the
// same.
func Every(message string) map[string]string {
	want := map[string]string{}
	for _, c := range check.All() {
		want[c.ID] = message
	}
	return want
}

// goNoise is what only Go knows, and in a report would only be in the way:
// pointers, which differ from run to run, and the names of types.
var goNoise = regexp.MustCompile(`0x[0-9a-f]{8,}|<\*?[a-z]+\.[A-Za-z]+`)

// Table runs each case as a parallel subtest of its name.
func Table(t *testing.T, cases map[string]Case) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			outcomes := Outcomes(t, c.Setup, c.Filter)
			for id := range c.Want {
				if _, asked := outcomes[id]; !asked {
					t.Errorf("%s was not asked", id)
				}
			}
			for id, o := range outcomes {
				want, damaged := c.Want[id]
				if !damaged {
					expect(t, id, o, check.Pass, "")
					continue
				}
				declared, _ := check.Lookup(id)
				expect(t, id, o, declared.Grade.Broken(), want)
			}
		})
	}
}

func expect(t *testing.T, id string, o Outcome, state check.State, message string) {
	t.Helper()
	if o.State != state || !strings.Contains(o.Message, message) {
		t.Errorf("%s: %s: %s\nit should be %s: %q", id, o.State, o.Message, state, message)
	}
	if noise := goNoise.FindString(o.Message); noise != "" {
		t.Errorf("%s: the message holds %q: %s", id, noise, o.Message)
	}
}

// EveryCheckPasses asks every check of the test binary after the setup, which
// may be none; each must pass.
func EveryCheckPasses(t *testing.T, setup []string) {
	t.Helper()
	outcomes := Outcomes(t, setup, "")
	for _, c := range check.All() {
		o, asked := outcomes[c.ID]
		if !asked {
			t.Errorf("%s was not asked", c.ID)
			continue
		}
		expect(t, c.ID, o, check.Pass, "")
	}
}

// Input is a setup whose rule every packet meets that lo of the namespace
// delivers to a socket. The rule is one of nft(8), without its table and chain.
func Input(rule string) []string { return Hook("input", 0, rule) }

// Hook is a setup whose rule every packet meets, of IPv4 and IPv6, at a hook of
// netfilter. The priority places it among the kernel's own: fragments are put
// together at -400, addresses translated and connections tracked after that.
func Hook(hook string, priority int, rule string) []string {
	return []string{
		"nft add table inet broken",
		fmt.Sprintf("nft add chain inet broken %s '{ type filter hook %s priority %d; }'", hook, hook, priority),
		fmt.Sprintf("nft add rule inet broken %s '%s'", hook, rule),
	}
}
