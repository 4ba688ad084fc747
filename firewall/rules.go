// Package firewall answers what a firewall lets through. Rules are loaded into a
// private network namespace, and every port is asked there, from the machine
// itself and from the zones around it; the rule that decided is named. Nothing
// on the machine is changed, and where user namespaces are allowed nothing needs
// root.
package firewall

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/stage"
	"github.com/loopcheck/loopcheck/probe/sweep"
)

// Rules is a ruleset with the lines that its rules stand in.
type Rules struct {
	*ruleset.Ruleset
	// Source is the file, or Live.
	Source string
	// Copying are the rules that send copies of packets. In the Ruleset they do
	// all but that.
	Copying []ruleset.Rule
	lines   map[string]map[uint64]ruleset.Line
	// around is what the machine's own are in the midst of; of others nothing.
	around surroundings
}

// Live is the Source of rules that were read from the machine.
const Live = "live"

// EmptyError says that there is no rule.
type EmptyError struct{ Source string }

func (e *EmptyError) Error() string { return e.Source + ": there is no rule in it" }

// LoadRules loads files, one after the other, into a sandbox of their own, where
// the kernel says whether it takes them. It fails with ruleset.FileError and its
// like, or an EmptyError.
func LoadRules(ctx context.Context, files ...ruleset.File) (*Rules, error) {
	var names []string
	for i := range files {
		files[i].Traced = true
		for _, name := range indexed(files[i].Text) {
			if !slices.Contains(names, name) && len(names) < maxInterfaces {
				names = append(names, name)
			}
		}
	}
	for {
		s, err := stage.Start(ctx, stage.Config{Interfaces: names})
		if err != nil {
			return nil, err
		}
		r, err := loadOn(ctx, s, files)
		err = errors.Join(err, s.Close())
		if missing, ok := missingInterface(err); ok && !slices.Contains(names, missing) {
			names = append(names, missing)
			continue
		}
		if err != nil {
			return nil, err
		}
		return r, nil
	}
}

func loadOn(ctx context.Context, s *stage.Stage, files []ruleset.File) (*Rules, error) {
	var names []string
	for _, f := range files {
		if err := ruleset.LoadFileInto(ctx, s.Sandbox, stage.Machine, f); err != nil {
			return nil, err
		}
		names = append(names, f.Name)
	}
	source := strings.Join(names, ", ")
	r, err := ruleset.ReadFrom(ctx, s.Sandbox, stage.Machine)
	if err != nil {
		return nil, err
	}
	if r.Empty() {
		return nil, &EmptyError{source}
	}
	lines := ruleset.Locate(r, files...)
	r, copying := r.WithoutCopies()
	return &Rules{Ruleset: r, Source: source, Copying: copying, lines: lines}, nil
}

// LiveRules reads the machine's own. It takes CAP_NET_ADMIN.
func LiveRules(ctx context.Context) (*Rules, error) {
	r, err := ruleset.Read(ctx)
	if err != nil {
		return nil, err
	}
	if r.Empty() {
		return nil, &EmptyError{"this machine's ruleset"}
	}
	around, err := readSurroundings()
	if err != nil {
		return nil, err
	}
	r, copying := r.WithoutCopies()
	return &Rules{Ruleset: r, Source: Live, Copying: copying, around: around}, nil
}

var (
	// byIndex are matches and hooks that take an interface's index, for which it
	// has to be there.
	byIndex = regexp.MustCompile(`\b(?:iif|oif|sdif|device|devices)\b\s*(?:==|!=|=)?\s*(\{[^}]*\}|"[^"]*"|[\w.@-]+)`)
	aName   = regexp.MustCompile(`[\w.@-]+`)
	// lacks is what nft says of one that is not.
	lacks = regexp.MustCompile(`Interface "?([\w.@-]+)"? does not exist`)
)

const maxInterfaces = 64

// indexed are the interfaces that have to be there for the rules to load.
func indexed(text string) []string {
	var names []string
	for _, m := range byIndex.FindAllStringSubmatch(text, -1) {
		for _, name := range aName.FindAllString(m[1], -1) {
			if stageable(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// stageable says that a stage may have an interface of that name.
func stageable(name string) bool {
	return name != "" && name != "lo" && name != "." && name != ".." && len(name) < 16 && !strings.ContainsAny(name, "/: ")
}

func missingInterface(err error) (name string, missing bool) {
	failed, ok := errors.AsType[*ruleset.FileError](err)
	if !ok {
		return "", false
	}
	m := lacks.FindStringSubmatch(failed.Message)
	if m == nil || !stageable(m[1]) {
		return "", false
	}
	return m[1], true
}

// Rule is one rule, or a chain's policy, as a person finds it.
type Rule struct {
	Family string `json:"family"`
	Table  string `json:"table"`
	Chain  string `json:"chain"`
	// Handle is the rule's in the ruleset; 0 for a policy.
	Handle uint64 `json:"handle,omitempty"`
	// Text is the rule as nft(8) writes it, or as its line in a file of iptables
	// has it, or "policy drop".
	Text string `json:"text"`
	// File and Line are where it stands, where that is known.
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Place is where the rule stands: its file and line, or else its chain and
// handle.
func (r Rule) Place() string {
	chain := r.Family + " " + r.Table + " " + r.Chain
	switch {
	case r.Line > 0:
		return fmt.Sprintf("%s:%d", r.File, r.Line)
	case r.Handle == 0:
		return chain
	}
	return fmt.Sprintf("%s handle %d", chain, r.Handle)
}

// ID is that of the rule in the ruleset.
func (r Rule) ID() ruleset.RuleID {
	return ruleset.RuleID{Family: r.Family, Table: r.Table, Handle: r.Handle}
}

func (r Rule) String() string { return r.Place() + ": " + r.Text }

// Rule is the one that a step names by the handles of the ruleset.
func (r *Rules) Rule(step sweep.Step) Rule {
	rule := Rule{Family: step.Family, Table: step.Table, Chain: step.Chain, Handle: step.Handle}
	if step.Handle == 0 {
		rule.Text = "policy " + string(step.Verdict.Code)
		return rule
	}
	if _, found, ok := r.Find(step.Family, step.Table, step.Handle); ok {
		rule.Text = found.Text
	}
	line := r.lines[step.Family+" "+step.Table][step.Handle]
	rule.File, rule.Line = line.File, line.Number
	if line.Text != "" {
		rule.Text = line.Text
	}
	return rule
}
