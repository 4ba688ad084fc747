// Package flowtest holds the checks of a suite to telling what they send: a
// search for causes that sends something else finds nothing, or the wrong
// thing.
package flowtest

import (
	"net/netip"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Expect fails every spec of the test binary that passes and did not tell, once
// each, exactly the flows that are wanted of its check. Want is called when the
// spec is over, with the check's ID. The returned value only lets the call
// stand at the top level of a file.
func Expect(want func(id string) []check.Flow) bool {
	return ginkgo.ReportAfterEach(func(spec ginkgo.SpecReport) {
		if !spec.State.Is(types.SpecStatePassed) {
			return // it may not have come to what it sends
		}
		for _, label := range spec.LeafNodeLabels {
			if c, known := check.Lookup(label); known {
				gomega.Expect(told(spec)).To(gomega.ConsistOf(want(c.ID)), "flows that %s tells", c.ID)
			}
		}
	})
}

func told(spec ginkgo.SpecReport) []check.Flow {
	var flows []check.Flow
	for _, entry := range spec.ReportEntries {
		if flow, ok := entry.GetRawValue().(check.Flow); ok {
			flows = append(flows, flow)
		}
	}
	return flows
}

// To is the flow of a protocol to an address and port, such as "127.0.0.1:0".
func To(protocol, to string) check.Flow {
	return check.Flow{Protocol: protocol, To: netip.MustParseAddrPort(to)}
}
