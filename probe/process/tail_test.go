package process

import (
	"strings"
	"testing"
)

func TestTheEndOfOutputIsKept(t *testing.T) {
	var out Tail
	for range 1000 {
		if n, err := out.Write([]byte("a line of output\n")); n != 17 || err != nil {
			t.Fatalf("wrote %d, %v", n, err)
		}
	}
	if _, err := out.Write([]byte(strings.Repeat("x", 2*TailBytes) + "\nthe last\n\n")); err != nil {
		t.Fatal(err)
	}
	if len(out.text) != TailBytes || out.LastLine() != "the last" || !strings.HasSuffix(out.String(), "x\nthe last") {
		t.Errorf("kept %d bytes, of which the last line is %q", len(out.text), out.LastLine())
	}
	if last := (&Tail{}).LastLine(); last != "" {
		t.Errorf("the last line of nothing is %q", last)
	}
}
