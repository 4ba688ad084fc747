package ruleset

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

var (
	listedTable = regexp.MustCompile(`^table (\S+) (.+) \{(?: # .*)?$`)
	listedRule  = regexp.MustCompile(`^(.*) # handle (\d+)$`)
)

// listed is a rule as nft prints it.
type listed struct {
	text string
	// inner are the rules of its own block, as with "jump { … }", which nft
	// prints without handles.
	inner []string
}

// ruleTexts are the rules that "nft -a list ruleset" prints, by "family table
// handle". A rule that is printed over several lines is put into one.
func ruleTexts(listing string) map[string]listed {
	texts := map[string]listed{}
	table, inChain := "", false
	// block are the lines of a rule that goes on, and depth is how many braces
	// it has open.
	var block []string
	depth := 0
	for line := range strings.Lines(listing) {
		line = strings.TrimRight(line, "\n")
		body := strings.TrimLeft(line, "\t")
		indent := len(line) - len(body)
		if m := listedTable.FindStringSubmatch(line); m != nil {
			table, inChain = m[1]+" "+m[2], false
			continue
		}
		if indent == 1 {
			inChain = strings.HasPrefix(body, "chain ")
			block, depth = nil, 0
			continue
		}
		if !inChain || indent < 2 {
			continue
		}
		text, handle := body, ""
		if m := listedRule.FindStringSubmatch(body); m != nil {
			text, handle = m[1], m[2]
		}
		depth += braces(text)
		if depth > 0 || len(block) > 0 {
			block = append(block, strings.TrimSpace(text))
		}
		if depth > 0 || handle == "" {
			continue
		}
		rule := listed{text: strings.TrimSpace(text)}
		if len(block) > 1 {
			rule = listed{text: strings.Join(block, " "), inner: block[1 : len(block)-1]}
		}
		texts[table+" "+handle] = rule
		block, depth = nil, 0
	}
	return texts
}

// braces counts those that a line opens and leaves open, but for those within
// quotes; below 0 it closes more.
func braces(line string) int {
	open, quoted := 0, false
	for _, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{':
			open++
		case c == '}':
			open--
		}
	}
	return open
}

// name gives every rule its text; where there is none, what it is called.
func (r *Ruleset) name(texts map[string]listed) {
	for _, t := range r.Tables {
		inner := map[string][]string{}
		for _, c := range t.Chains {
			for i := range c.Rules {
				rule := &c.Rules[i]
				known := texts[t.Family+" "+t.Name+" "+strconv.FormatUint(rule.Handle, 10)]
				rule.Text = known.text
				if len(known.inner) > 0 {
					for _, chain := range rule.refersTo().chains {
						inner[chain] = known.inner
					}
				}
			}
		}
		for _, c := range t.Chains {
			for i := range c.Rules {
				rule := &c.Rules[i]
				if lines := inner[c.Name]; c.Bound && len(lines) == len(c.Rules) {
					rule.Text = lines[i]
				}
				if rule.Text == "" {
					rule.Text = fmt.Sprintf("rule %d of chain %s %s %s, handle %d", rule.Position, t.Family, t.Name, c.Name, rule.Handle)
				}
			}
		}
	}
}
