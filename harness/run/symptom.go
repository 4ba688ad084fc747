package run

import (
	"slices"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/types"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
)

// symptomOf returns what a search for causes goes by, from the report of a spec
// that failed, or that skipped itself for want of something. Of any other there
// is no cause to look for.
func symptomOf(spec ginkgo.SpecReport) (diagnose.Symptom, bool) {
	c, known := checkOf(spec)
	if !known {
		return diagnose.Symptom{}, false
	}
	s := diagnose.Symptom{
		Check:     c.ID,
		Suite:     c.Suite,
		IPv6:      c.Takes(check.IPv6),
		Message:   spec.FailureMessage(),
		Sandboxed: c.Sandboxed || c.Takes(check.Sandbox),
	}
	for _, entry := range spec.ReportEntries {
		switch v := entry.GetRawValue().(type) {
		case check.Flow:
			if flow := diagnose.Flow(v); !slices.Contains(s.Flows, flow) {
				s.Flows = append(s.Flows, flow)
			}
		case check.Missing:
			if spec.State.Is(types.SpecStateSkipped) {
				s.Missing = v.Name
			}
		}
	}
	return s, spec.Failed() || s.Missing != ""
}
