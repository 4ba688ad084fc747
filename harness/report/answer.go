package report

import (
	"fmt"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Break says that what the check asks for does not hold, and how, a line each.
func (c *Check) Break(state check.State, headline string, lines ...string) {
	c.State = state
	c.Message = strings.Join(append([]string{headline}, lines...), "\n")
}

// SkipFor says that the check cannot be asked here, what is missing, and what was
// tried.
func (c *Check) SkipFor(need check.Need, found string) {
	c.State, c.Missing = check.Skip, &check.Missing{Need: need, Found: found}
	c.Message = fmt.Sprintf("needs %s (%s): %s", need.Name, found, need.How)
}

// Note records what was seen.
func (c *Check) Note(what, format string, args ...any) {
	c.Evidence = append(c.Evidence, check.Evidence{What: what, Seen: fmt.Sprintf(format, args...)})
}
