package damage

import (
	"fmt"
	"os"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Case is a damaged stack and what the checks have to say of it.
type Case struct {
	// Setup and Filter are those of Outcomes.
	Setup  []string
	Filter string
	// Syscalls are answered in the kernel's place, while the specs run.
	Syscalls []Syscall
	// Inside is called where the specs run, before they do: for damage that a suite has
	// a hook of its own for.
	Inside func()
	// Sandboxes is damage for the sandboxes that the checks start; see
	// OutcomesInside.
	Sandboxes []string
	// Want holds, by the ID of each check that the damage must not satisfy,
	// what its message must contain. Such a check must be in the state that
	// its grade gives to a broken one; every other selected check must pass.
	// A check that is skipped on this machine without the damage too goes to the
	// log, as does one that is inconclusive: but where such a one is wanted it is
	// asked again by itself, and may be inconclusive only if other programs or a
	// hypervisor had the processors meanwhile.
	Want map[string]string
	// IPv6 marks damage that only a kernel with IPv6 can take; elsewhere the
	// case is skipped.
	IPv6 bool
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

// asking is held by each case while it asks, alone by those that ask again.
var asking sync.RWMutex

// maxTaken is the share of the machine's processors that others may have where a
// check has to be sure.
const maxTaken = 0.05

// insistence is how long a case is asked by itself until all that is wanted of it is
// sure: a neighbour of this machine that slows its processors may end some time.
const insistence = time.Minute

// insist asks a case, and again by itself where a wanted check was inconclusive. Busy
// says whether others had the processors at last, or a neighbour slowed them.
func (c Case) insist(t *testing.T) (outcomes map[string]Outcome, busy bool) {
	t.Helper()
	outcomes = c.together(t)
	id := c.unsure(outcomes)
	if id == "" {
		return outcomes, false
	}
	asking.Lock()
	defer asking.Unlock()
	for end := time.Now().Add(insistence); ; {
		t.Logf("%s is asked again by itself: %s", id, outcomes[id].Message)
		var taken float64
		outcomes, taken = c.outcomes(t)
		t.Logf("others had %.0f %% of the processors meanwhile", 100*taken)
		id = c.unsure(outcomes)
		if id == "" || taken > maxTaken || time.Now().After(end) {
			return outcomes, taken > maxTaken || strings.Contains(outcomes[id].Message, "tainted: ")
		}
	}
}

// unsure is a wanted check that was inconclusive; empty where none was.
func (c Case) unsure(outcomes map[string]Outcome) (id string) {
	for id := range c.Want {
		if outcomes[id].State == check.Inconclusive {
			return id
		}
	}
	return ""
}

// together asks a case beside others. A test that ends in it, skipped or failed,
// gives way to them as well.
func (c Case) together(t *testing.T) map[string]Outcome {
	t.Helper()
	asking.RLock()
	defer asking.RUnlock()
	outcomes, _ := c.outcomes(t)
	return outcomes
}

// Table runs each case as a parallel subtest of its name.
func Table(t *testing.T, cases map[string]Case) {
	t.Helper()
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c.IPv6 && runtime.GOOS == "linux" {
				if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
					t.Skipf("the damage needs a kernel with IPv6: %v", err)
				}
			}
			outcomes, busy := c.insist(t)
			for id := range c.Want {
				if _, asked := outcomes[id]; !asked {
					t.Errorf("%s was not asked", id)
				}
			}
			for id, o := range outcomes {
				want, damaged := c.Want[id]
				if lacking(t, id, o) || o.State == check.Inconclusive && (busy || !damaged) {
					t.Logf("%s tells nothing here: %s: %s", id, o.State, o.Message)
					continue
				}
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

// lacking says whether the check was skipped for something that this machine
// does not give it, and not for the damage: it is skipped in an undamaged
// namespace as well.
func lacking(t *testing.T, id string, o Outcome) bool {
	t.Helper()
	return excused(id, o) && Outcomes(t, nil, id)[id].State == check.Skip
}

// excused says whether the check was skipped and declares that it may be.
func excused(id string, o Outcome) bool {
	declared, _ := check.Lookup(id)
	return o.State == check.Skip && (len(declared.Needs) > 0 || declared.OS != "")
}

// EveryCheckPasses asks every check of the test binary after the setup, which
// may be none. Each must pass, but for those that need what this machine does
// not have, and those that it is too busy to tell of: they go to the log.
func EveryCheckPasses(t *testing.T, setup []string) {
	t.Helper()
	outcomes := Outcomes(t, setup, "")
	for _, c := range check.All() {
		o, asked := outcomes[c.ID]
		switch {
		case !asked:
			t.Errorf("%s was not asked", c.ID)
		case excused(c.ID, o) || o.State == check.Inconclusive:
			t.Logf("%s tells nothing here: %s: %s", c.ID, o.State, o.Message)
		default:
			expect(t, c.ID, o, check.Pass, "")
		}
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

// File is a setup that puts another file in the place of one that is there,
// within the namespace alone.
func File(path, contents string) []string {
	// The new file lies in memory and is hidden by what mounts there next.
	const aside = "/mnt"
	quoted := "'" + strings.ReplaceAll(contents, "'", `'\''`) + "'"
	return []string{
		"mount -t tmpfs file " + aside,
		"printf %s " + quoted + " > " + aside + "/file",
		"mount --bind " + aside + "/file " + path,
	}
}
