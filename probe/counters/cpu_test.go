package counters

import (
	"errors"
	"testing"
	"time"
)

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
