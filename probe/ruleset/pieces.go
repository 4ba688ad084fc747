package ruleset

import (
	"encoding/json"
	"strings"
)

// pieceRules is how many rules of a part are loaded at once, where all of them
// at once are too many for the kernel to take from this user.
const pieceRules = 150

// tooLong is what programs say where the kernel takes no transaction that large:
// they may have a larger buffer only from root outside of user namespaces
// (socket(7), SO_SNDBUFFORCE).
const tooLong = "Message too long"

// piece is some of a part's text, that its program reads by itself. Lines keep
// their numbers.
type piece struct {
	text string
	// more says that it adds to what is there.
	more bool
}

// pieces cuts a part up: all but its rules first, and then the rules in their
// order. It says whether there is more than one.
func (p Part) pieces() ([]piece, bool) {
	switch p.Format {
	case NftScript:
		return scriptPieces(p.Text)
	case NftJSON:
		return jsonPieces(p.Text)
	}
	return savedPieces(p.Text)
}

// scriptPieces leaves blanks where something is not in a piece. Definitions are
// in each.
func scriptPieces(text string) ([]piece, bool) {
	s := &nftScript{dir: "/nonexistent", places: &places{map[chainKey][]Line{}, map[chainKey]bool{}}}
	s.read(text, 1, includeDepth)
	whole := []byte(text)
	var pieces []piece
	var current []byte
	rules := 0
	flush := func() {
		if rules > 0 {
			pieces = append(pieces, piece{string(current), true})
		}
		current, rules = blank(text), 0
		for _, one := range s.stretches {
			if !one.rule {
				one.copyTo(current, text)
			}
		}
	}
	flush()
	for _, one := range s.stretches {
		if !one.rule {
			continue
		}
		for i := one.from; i < one.to; i++ {
			if whole[i] != '\n' && whole[i] != ';' {
				whole[i] = ' '
			}
		}
		one.copyTo(current, text)
		if rules++; rules == pieceRules {
			flush()
		}
	}
	flush()
	return append([]piece{{text: string(whole)}}, pieces...), len(pieces) > 1
}

// copyTo copies a statement, with the heads and braces of what it stands in.
func (one stretch) copyTo(piece []byte, text string) {
	copy(piece[one.from:one.to], text[one.from:one.to])
	for _, b := range one.blocks {
		copy(piece[b.from:b.to], text[b.from:b.to])
		if b.close < len(text) && b.close > b.to {
			piece[b.close] = text[b.close]
		}
	}
}

// blank is a text without anything but its ends of lines.
func blank(text string) []byte {
	b := []byte(text)
	for i := range b {
		if b[i] != '\n' {
			b[i] = ' '
		}
	}
	return b
}

// jsonPieces cuts the list of commands.
func jsonPieces(text string) ([]piece, bool) {
	var document struct {
		Commands []json.RawMessage `json:"nftables"`
	}
	if json.Unmarshal([]byte(text), &document) != nil {
		return []piece{{text: text}}, false
	}
	var pieces []piece
	for commands := document.Commands; len(commands) > 0; {
		n := min(pieceRules, len(commands))
		b, err := json.Marshal(map[string][]json.RawMessage{"nftables": commands[:n]})
		if err != nil {
			return []piece{{text: text}}, false
		}
		commands = commands[n:]
		pieces = append(pieces, piece{string(b), len(pieces) > 0})
	}
	return pieces, len(pieces) > 1
}

// savedPieces cuts each table of what iptables-save writes. The chains of all
// tables come first.
func savedPieces(text string) ([]piece, bool) {
	var heads, current strings.Builder
	var pieces []piece
	rules, table := 0, ""
	flush := func() {
		if rules > 0 {
			pieces = append(pieces, piece{current.String() + "COMMIT\n", true})
		}
		// What came before is blank, so that lines keep their numbers.
		current.Reset()
		rules = 0
	}
	number := 0
	for line := range strings.Lines(text) {
		number++
		trimmed := strings.TrimSpace(line)
		isRule := savedRule.MatchString(trimmed)
		switch {
		case strings.HasPrefix(trimmed, "*"):
			flush()
			table = trimmed
		case trimmed == "COMMIT":
			flush()
		}
		if !isRule {
			heads.WriteString(line)
			continue
		}
		heads.WriteString("\n")
		if rules == 0 && number > 1 {
			current.WriteString(strings.Repeat("\n", number-2) + table + "\n")
		}
		current.WriteString(line)
		if rules++; rules == pieceRules {
			flush()
		}
	}
	flush()
	return append([]piece{{text: heads.String()}}, pieces...), len(pieces) > 1
}
