package diagnose

import (
	"context"
	"fmt"
	"strings"

	"github.com/loopcheck/loopcheck/probe/exposure"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// exposureCheck is the check that asks the services.
const exposureCheck = "PORT-016"

// readListeners is a variable so that tests can show machines that this one is
// not.
var readListeners = listeners.Read

// exposedServices names the services that the check found to answer anybody on
// the network. Which command restarts one is for its owner to know, so that the
// setting is evidence and no remedy.
func exposedServices(ctx context.Context, s Symptom) Diagnosis {
	if s.Check != exposureCheck || s.Missing != "" {
		return Diagnosis{}
	}
	list, err := readListeners(ctx)
	if err != nil {
		return Diagnosis{Unseen: []Unseen{{What: "who listens", Why: err.Error()}}}
	}
	var d Diagnosis
	for _, e := range exposure.OffLoopback(list.Listeners) {
		if e.Protocol != "tcp" || !e.KeepsData() || !strings.Contains(s.Message, e.AddrPort().String()) {
			continue
		}
		d.Findings = append(d.Findings, Finding{Cause: Cause{
			ID:      fmt.Sprintf("exposed-%s-%d", strings.ReplaceAll(strings.ToLower(e.Service.Name), " ", "-"), e.Port),
			Summary: fmt.Sprintf("%s listens on %s and asks for no password.", e.Service.Name, e.AddrPort()),
			Evidence: []string{
				e.Listener.String(),
				"to bind it to loopback: " + e.Service.Bind,
				"to have it ask who is there: " + e.Service.Authenticate,
			},
		}})
	}
	return d
}
