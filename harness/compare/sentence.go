package compare

import (
	"fmt"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/judge"
)

// namedInSentence is how many benchmarks or checks the sentence names before it
// counts the rest.
const namedInSentence = 3

// Sentence is the verdict in a few words: what got worse, and how much was compared.
func (c *Comparison) Sentence() string {
	var worse []string
	for _, b := range c.Benchmarks {
		if b.Verdict == judge.Regression {
			worse = append(worse, b.Name+" "+inWords(telling(b)))
		}
	}
	worse = named(worse)
	var fails []string
	for _, one := range c.Checks {
		if one.Fails() {
			fails = append(fails, one.ID)
		}
	}
	switch len(fails) {
	case 0:
	case 1:
		worse = append(worse, fails[0]+" fails now")
	default:
		worse = append(worse, strings.Join(named(fails), ", ")+" fail now")
	}
	compared := c.compared()
	switch {
	case compared == "":
		return "Nothing was compared."
	case len(worse) > 0:
		return fmt.Sprintf("Regression: %s. Compared: %s.", strings.Join(worse, "; "), compared)
	case c.Verdict == judge.Inconclusive:
		return fmt.Sprintf("No regression is shown, but not all is decided. Compared: %s.", compared)
	}
	return fmt.Sprintf("No regression. Compared: %s.", compared)
}

// named keeps the first of many.
func named(all []string) []string {
	if more := len(all) - namedInSentence; more > 0 {
		return append(all[:namedInSentence:namedInSentence], fmt.Sprintf("%d more", more))
	}
	return all
}

// inWords says by how much a quantity got worse or better.
func inWords(m *judge.Metric) string {
	if m == nil {
		return ""
	}
	change := 100 * (m.Ratio.Value - 1)
	word := map[bool]string{true: "more", false: "less"}[change >= 0]
	if change < 0 {
		change = -change
	}
	switch m.Quantity {
	case bench.Rate, bench.Bytes:
		return fmt.Sprintf("does %.1f %% %s (%s)", change, word, m.Quantity)
	case bench.CPU:
		return fmt.Sprintf("costs %.1f %% %s (%s)", change, word, m.Quantity)
	}
	return fmt.Sprintf("takes %.1f %% %s (%s)", change, map[bool]string{true: "longer", false: "less"}[word == "more"], m.Quantity)
}

// words are verdicts as the sentence counts them.
var words = []struct {
	verdict judge.Verdict
	word    string
}{{judge.Regression, "slower"}, {judge.Improvement, "faster"}, {judge.NoChange, "unchanged"}, {judge.Inconclusive, "inconclusive"}}

// compared says how much was; it is empty where nothing was.
func (c *Comparison) compared() string {
	var parts []string
	if n := len(c.Benchmarks); n > 0 {
		var counts []string
		for _, w := range words {
			n := 0
			for _, b := range c.Benchmarks {
				if b.Verdict == w.verdict {
					n++
				}
			}
			if n > 0 {
				counts = append(counts, fmt.Sprintf("%d %s", n, w.word))
			}
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", counted(n, "benchmark"), strings.Join(counts, ", ")))
	}
	if n := c.ChecksCompared; n+c.ChecksUnanswered > 0 {
		differ := map[Change]int{}
		for _, one := range c.Checks {
			differ[one.Change]++
		}
		told := fmt.Sprintf("%d worse, %d better", differ[Worse], differ[Better])
		if c.ChecksUnanswered > 0 {
			told += fmt.Sprintf("; %d more not answered on both sides", c.ChecksUnanswered)
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", counted(n, "check"), told))
	}
	if c.Firewall != nil {
		parts = append(parts, fmt.Sprintf("the firewall (%s)", counted(len(c.Firewall.Changes), "verdict")+" moved"))
	}
	return strings.Join(parts, ", ")
}

func counted(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
