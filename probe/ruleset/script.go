package ruleset

import (
	"slices"
	"strings"
)

// word is a piece of an nft script: a word, a quoted text, a brace, or what ends
// a statement: a semicolon or the end of a line, which are both ";".
type word struct {
	text   string
	quoted bool
	line   int
	// from and to are where it is in the script.
	from, to int
}

// scan cuts a script into words as nft's scanner does: a comment goes to the end
// of the line, a backslash before it joins two lines, and quotes hold anything.
func scan(text string, line int) []word {
	var words []word
	var current strings.Builder
	i := 0
	end := func() {
		if current.Len() > 0 {
			words = append(words, word{text: current.String(), line: line, from: i - current.Len(), to: i})
			current.Reset()
		}
	}
	for ; i < len(text); i++ {
		switch c := text[i]; c {
		case '\\':
			if i+1 < len(text) && text[i+1] == '\n' {
				end()
				line++
				i++
				continue
			}
			current.WriteByte(c)
		case '#':
			end()
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case '"', '\'':
			end()
			close := strings.IndexByte(text[i+1:], c)
			if close < 0 {
				return words
			}
			quoted := text[i+1 : i+1+close]
			words = append(words, word{text: quoted, quoted: true, line: line, from: i, to: i + close + 2})
			line += strings.Count(quoted, "\n")
			i += close + 1
		case '\n', ';':
			end()
			words = append(words, word{text: ";", line: line, from: i, to: i + 1})
			if c == '\n' {
				line++
			}
		case '{', '}':
			end()
			words = append(words, word{text: string(c), line: line, from: i, to: i + 1})
		case ' ', '\t', '\r':
			end()
		default:
			current.WriteByte(c)
		}
	}
	end()
	return words
}

// nftScript finds the rules of an nft script, without understanding them.
type nftScript struct {
	name, dir string
	words     []word
	at        int
	// family, table and chain are where the statement under way is.
	family, table, chain string
	places               *places
	// blocks are those that the statement is in, the outermost first, and
	// stretches the statements that are rules or definitions.
	blocks    []*scriptBlock
	stretches []stretch
}

// scriptBlock is a table or a chain: where its head is, up to the brace, and where the
// closing brace.
type scriptBlock struct{ from, to, close int }

// stretch is a statement, and what it stands in.
type stretch struct {
	from, to int
	rule     bool
	blocks   []*scriptBlock
}

func (s *nftScript) next() (word, bool) {
	if s.at >= len(s.words) {
		return word{}, false
	}
	s.at++
	return s.words[s.at-1], true
}

func (s *nftScript) peek() string {
	if s.at >= len(s.words) || s.words[s.at].quoted {
		return ""
	}
	return s.words[s.at].text
}

// statement takes the words up to the end of a statement. Braces hold their own
// ends of lines.
func (s *nftScript) statement() []word {
	var words []word
	depth := 0
	for {
		if s.peek() == "}" && depth == 0 {
			return words
		}
		w, more := s.next()
		switch {
		case !more:
			return words
		case w.quoted:
		case w.text == "{":
			depth++
		case w.text == "}":
			depth--
		case w.text == ";" && depth == 0:
			return words
		}
		if w.text != ";" || w.quoted {
			words = append(words, w)
		}
	}
}

var families = []string{"ip", "ip6", "inet", "arp", "bridge", "netdev"}

// statements reads those of the outermost level, of a table, or of a chain,
// until its brace closes.
func (s *nftScript) statements(depth int) {
	for s.at < len(s.words) {
		switch s.peek() {
		case ";":
			s.at++
			continue
		case "add", "create":
			if s.at+1 < len(s.words) && s.words[s.at+1].text == "table" && s.table == "" {
				s.at++
				continue
			}
		case "}":
			s.at++
			return
		case "table":
			if s.table == "" {
				s.block(depth)
				continue
			}
		case "chain":
			if s.table != "" && s.chain == "" {
				s.block(depth)
				continue
			}
		}
		s.plain(s.statement(), depth)
	}
}

// block reads a table or a chain with what is in it.
func (s *nftScript) block(depth int) {
	keyword, _ := s.next()
	family, name := "ip", ""
	for {
		w, more := s.next()
		switch {
		case !more || w.text == ";" && !w.quoted:
			return
		case w.text == "{" && !w.quoted:
			outer := *s
			if keyword.text == "table" {
				s.family, s.table = family, name
			} else {
				s.chain = name
			}
			inner := &scriptBlock{from: keyword.from, to: w.to}
			s.blocks = append(s.blocks, inner)
			s.statements(depth)
			inner.close = s.words[s.at-1].from
			s.blocks = s.blocks[:len(s.blocks)-1]
			s.family, s.table, s.chain = outer.family, outer.table, outer.chain
			return
		case keyword.text == "table" && name == "" && slices.Contains(families, w.text):
			family = w.text
		default:
			name = w.text
		}
	}
}

// notRules are what a statement of a chain begins with that is none.
var notRules = []string{"type", "policy", "comment", "flags", "devices", "define", "redefine", "undefine", "include"}

// plain reads a statement without a block of its own.
func (s *nftScript) plain(words []word, depth int) {
	if len(words) == 0 {
		return
	}
	first := words[0].text
	switch {
	case first == "define" || first == "redefine" || first == "undefine":
		s.stretch(words[0], false)
	case first == "include" && len(words) > 1:
		if s.chain != "" {
			s.stretch(words[0], true)
		}
		s.include(words[1].text, depth)
	case s.chain != "":
		if !slices.Contains(notRules, first) {
			s.stretch(words[0], true)
			s.places.note(chainKey{s.family, s.table, s.chain}, Line{File: s.name, Number: words[0].line}, false)
		}
	case s.table == "" && len(words) > 1:
		s.command(words)
	}
}

// stretch notes the statement that was read last.
func (s *nftScript) stretch(first word, rule bool) {
	s.stretches = append(s.stretches, stretch{first.from, s.words[s.at-1].to, rule, slices.Clone(s.blocks)})
}

// command reads what begins with a command: rules that are added or inserted,
// and what takes rules away.
func (s *nftScript) command(words []word) {
	does, rest := words[0].text, words[1:]
	if does == "rule" { // which may stand for "add rule"
		does, rest = "add", words
	}
	kind := rest[0].text
	rest = rest[1:]
	family := "ip"
	if len(rest) > 0 && slices.Contains(families, rest[0].text) {
		family, rest = rest[0].text, rest[1:]
	}
	name := func(i int) string {
		if i < len(rest) {
			return rest[i].text
		}
		return ""
	}
	key := chainKey{family, name(0), name(1)}
	if kind == "rule" {
		s.stretch(words[0], true)
	}
	switch {
	case kind == "rule" && (does == "replace" || does == "delete" || does == "destroy"),
		kind == "rule" && slices.Contains([]string{"position", "handle", "index"}, name(2)):
		s.places.lost[key] = true
	case kind == "rule" && (does == "add" || does == "insert" || does == "create"):
		s.places.note(key, Line{File: s.name, Number: words[0].line}, does == "insert")
	case does == "flush" || does == "delete" || does == "destroy" || does == "reset":
		s.places.clear(kind, key)
	}
}

// places are where rules were found.
type places struct {
	lines map[chainKey][]Line
	// lost are chains whose rules the file counts otherwise.
	lost map[chainKey]bool
}

func (p *places) note(key chainKey, line Line, first bool) {
	at := len(p.lines[key])
	if first {
		at = 0
	}
	p.insert(key, at, line)
}

func (p *places) insert(key chainKey, at int, line Line) {
	p.lines[key] = slices.Insert(p.lines[key], at, line)
}

// clear forgets the rules of what is flushed or deleted.
func (p *places) clear(kind string, which chainKey) {
	for key := range p.lines {
		its := kind == "ruleset" ||
			kind == "table" && key.family == which.family && key.table == which.table ||
			kind == "chain" && key == which
		if its {
			delete(p.lines, key)
		}
	}
}
