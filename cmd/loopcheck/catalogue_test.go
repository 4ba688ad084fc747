package main

import (
	"fmt"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
)

// numbered is how many checks each topic has. Their numbers run from 1 without
// a gap; a check that is given up keeps its number, so that old reports stay
// comparable.
var numbered = []struct {
	topic string
	count int
}{
	{"PING", 19}, {"TCP", 84}, {"UDP", 20}, {"PORT", 16}, {"ADDR", 24}, {"NAME", 9}, {"LIM", 17}, {"CFG", 5}, {"FW", 24}, {"LAT", 8}, {"DB", 27},
}

// missing are those that there is no check of, with the reason.
var missing = map[string]string{}

func TestEveryNumberHasItsCheck(t *testing.T) {
	expected := map[string]bool{}
	for _, n := range numbered {
		for i := range n.count {
			expected[fmt.Sprintf("%s-%03d", n.topic, i+1)] = true
		}
	}
	for id := range expected {
		_, implemented := check.Lookup(id)
		switch reason, excused := missing[id]; {
		case implemented && excused:
			t.Errorf("%s is there, though it is listed as missing: %s", id, reason)
		case !implemented && !excused:
			t.Errorf("%s is neither there nor listed as missing", id)
		}
	}
	for _, c := range check.All() {
		if !expected[c.ID] {
			t.Errorf("%s is not among the numbers of its topic", c.ID)
		}
	}
}
