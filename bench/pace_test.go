package bench

import (
	"testing"
	"time"
)

// A processor is held against the best that it was lately.
func TestAPaceIsHeldAgainstTheBest(t *testing.T) {
	const cpu = 1 << 20 // that no machine has
	began := time.Now()
	for i, c := range []struct {
		after time.Duration
		took  time.Duration
		kept  bool
	}{
		{0, 100, true},
		{time.Second, 109, true},
		{2 * time.Second, 111, false},
		{3 * time.Second, 90, true},
		{4 * time.Second, 100, false},
		{5 * time.Second, 98, true},
		{paceMemory + time.Second, 110, false}, // 90 is remembered
		{2 * paceMemory, 110, false},
		{2*paceMemory + 3*time.Second, 110, true}, // what it cannot keep up is not
		{10 * paceMemory, 200, true},              // it was not looked at for long
		{10*paceMemory + time.Second, 150, true},
		{10*paceMemory + 2*time.Second, 200, false},
	} {
		if got := paced(cpu, c.took, began.Add(c.after)); got != c.kept {
			t.Errorf("%d: a pace of %d is kept: %v, want %v", i, c.took, got, c.kept)
		}
	}
}
