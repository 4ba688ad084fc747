package terminal

import (
	"slices"
	"testing"
)

func TestShortenFitsEveryWidth(t *testing.T) {
	for _, text := range []string{"loopback", "漢字漢字", "e\u0301tat"} {
		for n := range 12 {
			if got := Shorten(text, n); Columns(got) > n {
				t.Errorf("%q in %d columns became %q, of %d", text, n, got, Columns(got))
			}
		}
	}
	if got := Shorten("loopback", 5); got != "loop…" {
		t.Errorf("got %q", got)
	}
}

func TestWrapKeepsIndentationAndBreaksAtBlanks(t *testing.T) {
	got := Wrap("one two\n  three four", 8)
	if want := []string{"one two", "  three", "  four"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestHarmlessShowsWhatIsNotSeen(t *testing.T) {
	for text, want := range map[string]string{
		"plain\nlines": "plain\nlines",
		"\x1b[31mred":  `\x1b[31mred`,
		"a\tb\r":       `a    b\r`,
		"\xff":         `\xff`,
		"\u202eevil":   `\u202eevil`,
	} {
		if got := Harmless(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}
