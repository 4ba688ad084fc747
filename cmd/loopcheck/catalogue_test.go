package main

import (
	"fmt"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
)

// numbered are the numbers that the checks of each topic have, without a gap from
// the first to the last; a check that is given up keeps its number, so that old
// reports stay comparable. A topic of several parts has numbers for each.
var numbered = []struct {
	topic       string
	first, last int
}{
	{"PING", 1, 19},
	{"TCP", 1, 84},
	{"UDP", 1, 20},
	{"PORT", 1, 16},
	{"ADDR", 1, 24},
	{"NAME", 1, 9},
	{"LIM", 1, 17},
	{"CFG", 1, 5},
	{"FW", 1, 24},
	{"LAT", 1, 8},
	{"HTTP", 1, 39},  // protocol
	{"HTTP", 40, 59}, // other origins: CORS, cookies, browsers
	{"HTTP", 60, 65}, // load
	{"CTR", 1, 28},
}

// missing are those that there is no check of, with the reason.
var missing = map[string]string{}

func TestEveryNumberHasItsCheck(t *testing.T) {
	expected := map[string]bool{}
	for _, n := range numbered {
		for i := n.first; i <= n.last; i++ {
			expected[fmt.Sprintf("%s-%03d", n.topic, i)] = true
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
