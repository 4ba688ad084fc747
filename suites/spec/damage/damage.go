// Package damage shows that a check can fail: it asks the checks of a test
// binary in a private network namespace whose stack has been damaged first.
//
//	func TestRefusalLost(t *testing.T) {
//		failed := damage.Run(t, []string{
//			"nft add table inet broken",
//			"nft add chain inet broken in '{ type filter hook input priority 0; }'",
//			"nft add rule inet broken in tcp flags rst drop",
//		}, "TCP-001")
//		…
//	}
//
// The test binary is started again inside the namespace, runs the test that
// called Run, and in it the selected specs instead of the rest of the test.
// Ginkgo runs its specs once per process, so a plain test beside a suite's own
// may call Run as often as it likes.
package damage

import (
	"slices"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Outcome is what became of one check in the damaged stack.
type Outcome struct {
	State check.State `json:"state"`
	// Message is the failure or the reason of a skip, as the spec gave it.
	Message string `json:"message"`
}

// Run asks the checks that the label filter selects and returns the IDs of
// those that were not satisfied (fail or warn), sorted; their messages go to
// the test's log. See Outcomes for the rest of the contract.
func Run(t *testing.T, setup []string, labelFilter string) (failedIDs []string) {
	t.Helper()
	for id, o := range Outcomes(t, setup, labelFilter) {
		t.Logf("%s: %s: %s", id, o.State, o.Message)
		if o.State == check.Fail || o.State == check.Warn {
			failedIDs = append(failedIDs, id)
		}
	}
	slices.Sort(failedIDs)
	return failedIDs
}

// Outcomes asks the checks that the label filter selects and returns what
// became of each, by ID.
//
// Setup holds shell commands. They run inside the namespace after lo is up and
// before the specs, as a root who has every right there; each must succeed.
// They share the machine's files and processes, so they must change nothing
// but the network and what is mounted where, which is private as well (see
// File), and leave no process behind.
//
// The test is skipped where a private namespace, or the program that a setup
// command begins with, is not to be had. It fails when a setup command fails
// or when no spec was selected.
func Outcomes(t *testing.T, setup []string, labelFilter string) map[string]Outcome {
	t.Helper()
	return OutcomesInside(t, setup, nil, labelFilter)
}

// OutcomesInside is Outcomes with damage for the sandboxes that the checks
// start themselves, which damage to the stack around them does not reach: see
// sandbox.Damage.
func OutcomesInside(t *testing.T, setup, sandboxes []string, labelFilter string) map[string]Outcome {
	t.Helper()
	found, _ := Case{Setup: setup, Sandboxes: sandboxes, Filter: labelFilter}.outcomes(t)
	return found
}

// outcomes also says which share of the machine's processors others than the specs
// had meanwhile, the hypervisor among them.
func (c Case) outcomes(t *testing.T) (found map[string]Outcome, taken float64) {
	t.Helper()
	found, taken = outcomes(t, c)
	if len(found) == 0 {
		t.Fatalf("the label filter %q selects no check of this test binary", c.Filter)
	}
	return found, taken
}
