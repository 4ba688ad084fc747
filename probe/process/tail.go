package process

import (
	"bytes"
	"sync"
)

// TailBytes is how much of the end of what it is written a Tail keeps.
const TailBytes = 8 << 10

// Tail keeps the end of what is written to it, such as the output of a program of
// which only the last words matter. It may be used by several goroutines at once.
type Tail struct {
	mu   sync.Mutex
	text []byte
}

// Write keeps p, and forgets what stands before the last TailBytes.
func (t *Tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if excess := len(t.text) - TailBytes; excess > 0 {
		t.text = append(t.text[:0], t.text[excess:]...)
	}
	return len(p), nil
}

// String is what was kept, without the space around it.
func (t *Tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.text))
}

// LastLine is the last line of what was kept.
func (t *Tail) LastLine() string {
	text := t.String()
	for i := len(text) - 1; i >= 0; i-- {
		if text[i] == '\n' {
			return text[i+1:]
		}
	}
	return text
}
