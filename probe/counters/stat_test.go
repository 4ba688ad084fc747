package counters

import (
	"strings"
	"testing"
)

func TestStatSub(t *testing.T) {
	earlier := Stat{User: 100, Idle: 500, IOWait: 40, Steal: 10, ContextSwitches: 1000}
	now := Stat{User: 130, Idle: 560, IOWait: 39, Steal: 20, ContextSwitches: 1250}

	got := now.Sub(earlier)
	want := Stat{User: 30, Idle: 60, Steal: 10, ContextSwitches: 250}
	if got != want {
		t.Errorf("difference is %+v, want %+v: I/O wait went back and must count as unmoved", got, want)
	}
	if share := got.StealShare(); share != 0.1 {
		t.Errorf("steal share of 10 in 100 ticks is %v, want 0.1", share)
	}
}

func TestStealShareLeavesGuestTimeOut(t *testing.T) {
	s := Stat{User: 90, Steal: 10, Guest: 90}
	if share := s.StealShare(); share != 0.1 {
		t.Errorf("steal share is %v, want 0.1: guest time is part of user time already", share)
	}
}

func TestStealShareOfNoTime(t *testing.T) {
	if share := (Stat{}).StealShare(); share != 0 {
		t.Errorf("steal share of no time is %v, want 0", share)
	}
}

func TestStatString(t *testing.T) {
	if got, want := (Stat{User: 3, Steal: 1, ContextSwitches: 40}).String(), "user 30ms, steal 10ms, ctxt 40"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseStat(t *testing.T) {
	current := Stat{
		User: 6474, Nice: 1, System: 2411, Idle: 176259, IOWait: 357, IRQ: 2, SoftIRQ: 55, Steal: 9,
		Guest: 3, GuestNice: 4, ContextSwitches: 503596,
	}
	for _, tc := range []struct {
		name, text string
		want       Stat
	}{
		{
			"today's kernel",
			"cpu  6474 1 2411 176259 357 2 55 9 3 4\ncpu0 2847 0 950 88891 24 0 8 3 0 0\nintr 270301 0 0\nctxt 503596\nbtime 1\n",
			current,
		},
		{"2.4, with four columns", "cpu  1 2 3 4\nctxt 5\n", Stat{User: 1, Nice: 2, System: 3, Idle: 4, ContextSwitches: 5}},
		{"columns yet to come", "cpu  1 2 3 4 5 6 7 8 9 10 11 12\n", Stat{
			User: 1, Nice: 2, System: 3, Idle: 4, IOWait: 5, IRQ: 6, SoftIRQ: 7, Steal: 8, Guest: 9, GuestNice: 10,
		}},
		{
			"an interrupt line beyond a scanner's buffer", "intr " + strings.Repeat("0 ", 100_000) + "\ncpu  1 2 3 4\n",
			Stat{User: 1, Nice: 2, System: 3, Idle: 4},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseStat(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestParseStatRefuses(t *testing.T) {
	for _, text := range []string{"", "cpu0 1 2 3 4\n", "cpu  1 two 3\n", "cpu  -1 2\n"} {
		if got, err := parseStat(text); err == nil {
			t.Errorf("%q was read as %+v, want an error", text, got)
		}
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add("cpu  6474 1 2411 176259 357 2 55 9 3 4\nctxt 503596\n")
	f.Add("cpu")
	f.Fuzz(func(t *testing.T, text string) {
		stat, err := parseStat(text)
		if err != nil {
			return
		}
		if gone := stat.Sub(stat); gone != (Stat{}) {
			t.Errorf("a reading less itself is %v, want nothing", gone)
		}
	})
}
