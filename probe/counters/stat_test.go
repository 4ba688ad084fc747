package counters

import (
	"errors"
	"testing"
	"time"
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

func TestPressureSub(t *testing.T) {
	got := Pressure{Some: 5 * time.Second, Full: time.Second}.Sub(Pressure{Some: 2 * time.Second, Full: 3 * time.Second})
	if want := (Pressure{Some: 3 * time.Second}); got != want {
		t.Errorf("difference is %+v, want %+v", got, want)
	}
}

func TestWhatIsNotToldIsNoShare(t *testing.T) {
	untold := errors.New("not told")
	at := time.Unix(0, 0)
	later := CPU{At: at.Add(time.Second), Pressure: Pressure{Some: 2 * time.Second}, Stat: Stat{Steal: 5, Idle: 5, ContextSwitches: 9}}
	for name, c := range map[string]struct {
		earlier CPU
		want    CPUShare
	}{
		"all told":    {CPU{At: at}, CPUShare{Stolen: 0.5, Waited: 1, ContextSwitches: 9}},
		"no pressure": {CPU{At: at, PressureErr: untold}, CPUShare{Stolen: 0.5, Waited: -1, ContextSwitches: 9}},
		"no stat":     {CPU{At: at, StatErr: untold}, CPUShare{Waited: 1}},
		"no time":     {CPU{At: later.At, StatErr: untold}, CPUShare{Waited: -1}},
	} {
		if got := later.Since(c.earlier); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}
