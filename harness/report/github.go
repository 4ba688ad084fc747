package report

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
)

// annotationsOfKind is how many annotations of one kind GitHub shows of one step;
// those after them are dropped without a word.
const annotationsOfKind = 10

// GitHub writes workflow commands of GitHub Actions (docs.github.com, "Workflow
// commands for GitHub Actions"): an error for each failed check and a warning for
// each other that needs attention. Where there are more than GitHub shows, the last
// one of the kind names the rest. A run with nothing to tell writes nothing.
func GitHub(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		r := HarmlessCopy(r)
		var out strings.Builder
		annotate(&out, "error", checksIn(r, check.Fail))
		annotate(&out, "warning", checksIn(r, check.Warn, check.Inconclusive, check.Interrupted))
		if _, err := io.WriteString(w, out.String()); err != nil {
			return fmt.Errorf("write the report as annotations: %w", err)
		}
		return nil
	}
}

// checksIn are the checks in the states, in the order of the states.
func checksIn(r *Report, states ...check.State) []Check {
	var found []Check
	for _, state := range states {
		for _, c := range r.Checks {
			if c.State == state {
				found = append(found, c)
			}
		}
	}
	return found
}

func annotate(out *strings.Builder, kind string, checks []Check) {
	shown := checks
	if len(checks) > annotationsOfKind {
		shown = checks[:annotationsOfKind-1]
	}
	for _, c := range shown {
		workflowCommand(out, kind, c.ID+" "+c.Title, annotation(c))
	}
	rest := checks[len(shown):]
	if len(rest) == 0 {
		return
	}
	var names []string
	for _, c := range rest {
		names = append(names, c.ID+" "+string(c.State))
	}
	workflowCommand(out, kind, fmt.Sprintf("%d more", len(rest)), strings.Join(names, "\n"))
}

// annotation says what is wrong, why, and what mends it.
func annotation(c Check) string {
	lines := []string{string(c.State) + ": " + cmp.Or(strings.TrimSpace(c.Message), "told no more")}
	for _, cause := range c.Causes {
		lines = append(lines, "cause: "+oneLine(cause.Summary))
	}
	for _, remedy := range c.Remedies {
		lines = append(lines, "remedy: "+oneLine(remedy.Command))
	}
	return strings.Join(lines, "\n")
}

var (
	commandData     = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	commandProperty = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func workflowCommand(out *strings.Builder, kind, title, message string) {
	fmt.Fprintf(out, "::%s title=%s::%s\n", kind, commandProperty.Replace(title), commandData.Replace(message))
}
