package report

import "github.com/loopcheck/loopcheck/harness/check"

// ink is an ANSI SGR parameter (ECMA-48 8.3.117). The colours are of the eight
// that every terminal's theme keeps readable.
type ink string

const (
	plain  ink = ""
	bold   ink = "1"
	faint  ink = "2"
	red    ink = "31"
	green  ink = "32"
	yellow ink = "33"
	purple ink = "35"
	cyan   ink = "36"
)

var stateInk = map[check.State]ink{
	check.Fail:         red,
	check.Warn:         yellow,
	check.Inconclusive: purple,
	check.Interrupted:  purple,
	check.Skip:         cyan,
	check.Pass:         green,
}

// Paint wraps a text in the colour of a state, for a terminal.
func Paint(state check.State, text string) string {
	return stateInk[state].on(text)
}

// on wraps a text in the ink.
func (i ink) on(text string) string {
	if i == plain || text == "" {
		return text
	}
	return "\x1b[" + string(i) + "m" + text + "\x1b[0m"
}
