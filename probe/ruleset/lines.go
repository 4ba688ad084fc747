package ruleset

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// Line is where in a file a rule stands.
type Line struct {
	// File is the file's name; that of an included one where the rule is there.
	File string `json:"file"`
	// Number is counted from 1.
	Number int `json:"number"`
	// Text is the line itself where iptables wrote it: nft writes such a rule
	// otherwise than who made it knows it.
	Text string `json:"text,omitempty"`
}

// chainKey names a chain.
type chainKey struct{ family, table, chain string }

// Locate finds the lines of a ruleset's rules in the files that it was loaded
// from, one after the other, by family, table and handle. Within a chain rules
// stand in the order of the files, so that the nth of the one is the nth of the
// other. Of a chain whose rules a file counts otherwise, as after a delete or a
// replace, no line is told.
func Locate(r *Ruleset, files ...File) map[string]map[uint64]Line {
	found := &places{map[chainKey][]Line{}, map[chainKey]bool{}}
	for _, f := range files {
		f.locate(found)
	}
	lines := map[string]map[uint64]Line{}
	for _, t := range r.Tables {
		table := t.Family + " " + t.Name
		for _, c := range t.Chains {
			key := chainKey{t.Family, t.Name, c.Name}
			its := found.lines[key]
			if len(its) != len(c.Rules) || found.lost[key] {
				continue
			}
			for i, rule := range c.Rules {
				if lines[table] == nil {
					lines[table] = map[uint64]Line{}
				}
				lines[table][rule.Handle] = its[i]
			}
		}
	}
	return lines
}

func (f File) locate(found *places) {
	parts, err := f.Parts()
	if err != nil {
		return
	}
	for _, p := range parts {
		switch p.Format {
		case NftScript:
			s := &nftScript{name: f.Name, dir: f.Dir, places: found}
			s.read(p.Text, p.Line, 0)
		case NftJSON:
			f.locateJSON(p, found)
		default:
			f.locateSaved(p, found)
		}
	}
}

var savedRule = regexp.MustCompile(`^(?:\[\d+:\d+\] )?(?:-[46] )?(-A|-I|--append|--insert) (\S+)(?: (\d+)(?: |$))?`)

// savedCounts are those that iptables-save -c writes before a rule.
var savedCounts = regexp.MustCompile(`^\[\d+:\d+\] `)

// locateSaved reads what iptables-save writes.
func (f File) locateSaved(p Part, found *places) {
	family, table := "ip", ""
	if p.Format == IP6TablesSave {
		family = "ip6"
	}
	number := p.Line - 1
	for text := range strings.Lines(p.Text) {
		number++
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "*") {
			table = text[1:]
			continue
		}
		m := savedRule.FindStringSubmatch(text)
		if m == nil || family == "ip" && strings.HasPrefix(text, "-6 ") || family == "ip6" && strings.HasPrefix(text, "-4 ") {
			continue
		}
		key := chainKey{family, table, m[2]}
		at := len(found.lines[key])
		if m[1] == "-I" || m[1] == "--insert" {
			n, err := strconv.Atoi(m[3])
			at = 0
			if err == nil && n > 0 {
				at = min(n-1, len(found.lines[key]))
			}
		}
		found.insert(key, at, Line{f.Name, number, savedCounts.ReplaceAllString(text, "")})
	}
}

// locateJSON reads what nft -j writes (libnftables-json(5)). Where all of it is
// one line, as nft prints it, that line says nothing.
func (f File) locateJSON(p Part, found *places) {
	if !strings.Contains(strings.TrimSpace(p.Text), "\n") {
		return
	}
	decoder := json.NewDecoder(strings.NewReader(p.Text))
	for {
		token, err := decoder.Token()
		if err != nil {
			return
		}
		if key, isKey := token.(string); !isKey || key != "nftables" {
			continue
		}
		if token, err = decoder.Token(); err != nil || token != json.Delim('[') {
			return
		}
		for decoder.More() {
			begin := decoder.InputOffset()
			var raw json.RawMessage
			if decoder.Decode(&raw) != nil {
				return
			}
			// The value begins behind a comma and what is blank.
			begin += int64(strings.IndexFunc(p.Text[begin:], func(c rune) bool { return !strings.ContainsRune(", \t\r\n", c) }))
			line := Line{File: f.Name, Number: p.Line + strings.Count(p.Text[:begin], "\n")}
			noteJSON(raw, line, found)
		}
		return
	}
}

func noteJSON(raw json.RawMessage, line Line, found *places) {
	type rule struct{ Family, Table, Chain string }
	type object struct {
		Rule        *rule `json:"rule"`
		Add, Insert *struct {
			Rule *rule `json:"rule"`
		}
	}
	var o object
	if json.Unmarshal(raw, &o) != nil {
		return
	}
	at := func(r *rule, first bool) {
		if r == nil {
			return
		}
		found.note(chainKey{r.Family, r.Table, r.Chain}, line, first)
	}
	at(o.Rule, false)
	if o.Add != nil {
		at(o.Add.Rule, false)
	}
	if o.Insert != nil {
		at(o.Insert.Rule, true)
	}
}

// includeDepth bounds files that include one another.
const includeDepth = 16

// read reads a script, or a file that one includes.
func (s *nftScript) read(text string, line, depth int) {
	s.words = scan(text, line)
	s.statements(depth)
}

// include reads what an include statement names, which may be a pattern.
func (s *nftScript) include(name string, depth int) {
	if depth >= includeDepth {
		return
	}
	if !filepath.IsAbs(name) {
		name = filepath.Join(s.dir, name)
	}
	matches, err := filepath.Glob(name)
	if err != nil {
		return
	}
	for _, match := range matches {
		text, err := os.ReadFile(match)
		if err != nil {
			continue
		}
		inner := &nftScript{name: match, dir: s.dir, family: s.family, table: s.table, chain: s.chain, places: s.places}
		inner.read(string(text), 1, depth+1)
	}
}
