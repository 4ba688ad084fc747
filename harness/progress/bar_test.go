package progress

import (
	"bytes"
	"strings"
	"testing"
)

func TestABarFillsAndGoesAway(t *testing.T) {
	var drawn bytes.Buffer
	b := NewBar(&drawn, Style{Animated: true, Width: func() int { return 60 }}, "tcp 127.0.0.1", 200)
	b.Add(50)
	b.Close()
	// Whatever was drawn meanwhile, this is what a half of it looks like.
	drawn.Reset()
	b.Add(50)
	b.draw()
	if got, want := drawn.String(), "\r\x1b[Ktcp 127.0.0.1 ["+strings.Repeat("#", 18)+strings.Repeat(" ", 19)+"]  50 %"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAnUnknownTotalLeavesTheLabel(t *testing.T) {
	var drawn bytes.Buffer
	b := &Bar{w: &drawn, style: Style{Width: func() int { return 60 }}, label: "rules"}
	b.draw()
	if got, want := drawn.String(), "\r\x1b[Krules"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestABarFitsAnyWidth(t *testing.T) {
	for width := range 100 {
		var drawn bytes.Buffer
		b := &Bar{w: &drawn, style: Style{Width: func() int { return width }}, label: "udp 2001:db8::1", total: 10}
		b.Add(11)
		b.draw()
		line := strings.TrimPrefix(drawn.String(), "\r\x1b[K")
		if len([]rune(line)) > max(width-1, 0) {
			t.Errorf("width %d: %q", width, line)
		}
	}
}

func TestOffATerminalABarIsSilent(t *testing.T) {
	var drawn bytes.Buffer
	b := NewBar(&drawn, Style{}, "tcp", 10)
	b.Add(10)
	b.Close()
	if drawn.Len() > 0 {
		t.Errorf("drew %q", drawn.String())
	}
}
