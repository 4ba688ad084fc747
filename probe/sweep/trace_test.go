package sweep

import (
	"testing"

	"github.com/loopcheck/loopcheck/probe/nftrace"
)

func TestDecision(t *testing.T) {
	step := func(handle uint64, nat bool, code nftrace.Code) Step {
		return Step{Handle: handle, NAT: nat, Verdict: nftrace.Verdict{Code: code}}
	}
	const accept, drop, jump = nftrace.Accept, nftrace.Drop, nftrace.Jump
	for name, c := range map[string]struct {
		steps []Step
		// want is the place of the step; -1 is none.
		want int
	}{
		"nothing":                         {nil, -1},
		"no end":                          {[]Step{step(1, false, jump)}, -1},
		"a drop":                          {[]Step{step(1, false, accept), step(2, false, drop), step(0, false, drop)}, 1},
		"the last rule":                   {[]Step{step(1, false, accept), step(2, false, accept), step(0, false, accept)}, 1},
		"the last policy":                 {[]Step{step(0, false, accept), step(9, false, jump), step(0, false, accept)}, 2},
		"a filter before what translates": {[]Step{step(1, true, accept), step(2, false, accept), step(3, true, accept)}, 1},
		"what translates before a policy": {[]Step{step(1, true, accept), step(0, false, accept), step(0, true, accept)}, 0},
		"a filter's policy":               {[]Step{step(0, false, accept), step(0, true, accept)}, 0},
		"a drop by what translates":       {[]Step{step(1, false, accept), step(2, true, drop)}, 1},
	} {
		got, found := Way{Steps: c.steps}.Decision()
		if found != (c.want >= 0) || found && got != c.steps[c.want] {
			t.Errorf("%s: %+v, %v", name, got, found)
		}
	}
}
