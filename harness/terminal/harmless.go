package terminal

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Harmless makes a string of unknown origin fit to be shown on a terminal: it
// writes out every character that is not seen, such as ESC as \x1b, and every
// byte that is no UTF-8. Tabs become spaces; line feeds stay.
func Harmless(s string) string {
	if strings.IndexFunc(s, unseen) < 0 && utf8.ValidString(s) {
		return s
	}
	var out strings.Builder
	for rest := s; rest != ""; {
		r, size := utf8.DecodeRuneInString(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, `\x%02x`, rest[0])
		case r == '\t':
			out.WriteString("    ")
		case r == '\r':
			out.WriteString(`\r`)
		case !unseen(r):
			out.WriteRune(r)
		case r < 0x80:
			fmt.Fprintf(&out, `\x%02x`, r)
		case r <= 0xffff:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			fmt.Fprintf(&out, `\U%08x`, r)
		}
		rest = rest[size:]
	}
	return out.String()
}

func unseen(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }
