package spec

import (
	"fmt"
	"net/netip"

	"github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/harness/check"
)

// Skip ends the spec because it cannot be asked here. Found says what was
// tried and how it was refused.
func Skip(need check.Need, found string) {
	found = hide(found)
	attach("missing", check.Missing{Need: need, Found: found})
	ginkgo.Skip(fmt.Sprintf("needs %s (%s): %s", need.Name, found, need.How), 1)
}

// Inconclusive ends the spec because its answer would not be worth relying on.
func Inconclusive(format string, args ...any) {
	reason := hide(fmt.Sprintf(format, args...))
	attach("inconclusive", check.Unreliable{Reason: reason})
	ginkgo.Skip(reason, 1)
}

// Evidence records what was seen, for the report to show beside the verdict.
func Evidence(what, format string, args ...any) {
	attach(what, check.Evidence{What: what, Seen: hide(fmt.Sprintf(format, args...))})
}

// Measure records a figure. The name carries the unit.
func Measure(name string, value float64) {
	attach(name, check.Measurement{Name: name, Value: value})
}

// Benchmark records the result of a benchmark.
func Benchmark(r bench.Result) {
	attach(r.Name, r)
}

// Policy records what came of a policy.
func Policy(r *policy.Result) {
	attach("policy", r)
}

// Flow records what the check sends, so that should it fail, the search for the
// cause can send the same. Protocol is "tcp", "udp" or "icmp"; port 0 stands
// for any of the ephemeral range. What was told already is not told again.
func Flow(protocol string, to netip.AddrPort) {
	flow := check.Flow{Protocol: protocol, To: to}
	for _, entry := range ginkgo.CurrentSpecReport().ReportEntries {
		if entry.GetRawValue() == flow {
			return
		}
	}
	attach("flow", flow)
}

func attach(name string, value any) {
	ginkgo.AddReportEntry(name, value, ginkgo.ReportEntryVisibilityNever, ginkgo.Offset(2))
}
