// Package audit answers whether what listens on a machine is what was meant to:
// it holds the listeners against an allow-list, and without one against what is
// known of services that ought to be local.
//
// Its checks are not in the catalogue that `loopcheck run` goes through: what is
// meant to listen is the machine's own affair, and asking costs services a
// connection.
package audit

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/exposure"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// Suite is the audit's own.
var Suite = check.Suite{Name: "audit", Title: "Audit: who listens, and who may"}

func init() { report.Claim(Suite.Name, "Nothing speaks against what listens") }

// Options says what to audit by.
type Options struct {
	// Allow is nil where there is no list.
	Allow *AllowList
	// Probe asks well-known services whether they answer anybody.
	Probe bool
}

// Outcome is what an audit saw and what it makes of it.
type Outcome struct {
	List   listeners.List
	Checks []report.Check
}

// Run reads who listens in the calling thread's network namespace and judges
// it. The error is for what keeps it from being seen at all.
func Run(ctx context.Context, o Options) (*Outcome, error) {
	list, err := listeners.Read(ctx)
	if err != nil {
		return nil, err
	}
	a := &auditor{options: o, list: list, ephemeral: Ephemeral()}
	outcome := &Outcome{List: list}
	for _, c := range checks {
		result, err := c.answer(ctx, a)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.ID, err)
		}
		outcome.Checks = append(outcome.Checks, result)
	}
	return outcome, nil
}

// Ephemeral is the ports that the kernel chooses from; where it does not tell,
// the dynamic range of RFC 6335.
func Ephemeral() portset.Set {
	text, err := sysctl.Read("net.ipv4.ip_local_port_range")
	if err == nil {
		var ports portset.Set
		if ports, err = portset.Parse(strings.Join(strings.Fields(text), "-")); err == nil {
			return ports
		}
	}
	return portset.Of(portset.Dynamic)
}

// Checks are what an audit asks, for those who explain them.
func Checks() []check.Check {
	all := make([]check.Check, len(checks))
	for i, c := range checks {
		all[i] = c.Check
	}
	return all
}

// auditor is an audit under way.
type auditor struct {
	options   Options
	list      listeners.List
	ephemeral portset.Set
	// exposed is what exposures found, once it was asked.
	exposed *[]exposure.Service
}

// question is a check and what answers it.
type question struct {
	check.Check
	ask func(context.Context, *auditor, *report.Check) error
}

// answer is what the check came to.
func (q question) answer(ctx context.Context, a *auditor) (report.Check, error) {
	start := time.Now()
	result := report.Of(q.Check)
	result.State = check.Pass
	if err := q.ask(ctx, a, &result); err != nil {
		return result, err
	}
	result.Duration = time.Since(start)
	if result.State == check.Fail || result.State == check.Warn {
		result.Why, result.UsualCauses, result.UsualRemedies = q.Why, q.Causes, q.Remedies
	}
	return result, nil
}

// describe is a listener in one line, such as
//
//	tcp 0.0.0.0:6379, redis-server (pid 812), user redis, unit redis-server.service
func describe(l listeners.Listener) string {
	text := fmt.Sprintf("%s %s", l.Protocol, l.AddrPort())
	if l.Interface != "" && l.Address.IsUnspecified() {
		text += " through " + l.Interface
	}
	switch {
	case len(l.Owners) > 0:
		text += fmt.Sprintf(", %s (pid %d)", l.Process, l.PID)
	case l.Unowned != "":
		text += ", process unknown (" + l.Unowned + ")"
	}
	if l.User != "" {
		text += ", user " + l.User
	}
	if l.Unit != "" {
		text += ", unit " + l.Unit
	}
	if l.Container != "" {
		text += ", " + l.Container
	}
	return text
}

// counted is "1 listener" or "2 listeners".
func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
