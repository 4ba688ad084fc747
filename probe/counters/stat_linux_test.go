package counters

import (
	"strings"
	"testing"
	"time"
)

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
			got, err := parseStat([]byte(tc.text))
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
		if got, err := parseStat([]byte(text)); err == nil {
			t.Errorf("%q was read as %+v, want an error", text, got)
		}
	}
}

func TestParsePressure(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       Pressure
	}{
		{
			"both lines",
			"some avg10=0.44 avg60=0.79 avg300=2.21 total=18281789\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
			Pressure{Some: 18281789 * time.Microsecond, Full: 7 * time.Microsecond},
		},
		{"before 5.13", "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n", Pressure{Some: 12 * time.Microsecond}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parsePressure(tc.text)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestParsePressureRefuses(t *testing.T) {
	for _, text := range []string{
		"", "some avg10=0.00\n", "full avg10=0.00 total=4\n", "some total=x\n", "some total=-1\n",
		"some total=9223372036854775807\n",
	} {
		if got, err := parsePressure(text); err == nil {
			t.Errorf("%q was read as %+v, want an error", text, got)
		}
	}
}

// What the running kernel writes must be understood, not only what the tables
// above hold.
func TestReadStatOfThisMachine(t *testing.T) {
	earlier, err := ReadStat()
	if err != nil {
		t.Fatal(err)
	}
	if earlier.Idle == 0 && earlier.User == 0 {
		t.Errorf("neither idle nor user time since the machine started: %+v", earlier)
	}
	now, err := ReadStat()
	if err != nil {
		t.Fatal(err)
	}
	if now.ContextSwitches < earlier.ContextSwitches {
		t.Errorf("context switches went back from %d to %d", earlier.ContextSwitches, now.ContextSwitches)
	}
}

func TestReadCPUPressureOfThisMachine(t *testing.T) {
	p, err := ReadCPUPressure()
	if err != nil {
		t.Skipf("pressure stall information is not to be had: %v", err)
	}
	if p.Some < p.Full {
		t.Errorf("some task waited for %v but all of them for %v", p.Some, p.Full)
	}
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("cpu  6474 1 2411 176259 357 2 55 9 3 4\nctxt 503596\n"))
	f.Add([]byte("cpu"))
	f.Fuzz(func(t *testing.T, text []byte) {
		stat, err := parseStat(text)
		if err != nil {
			return
		}
		if gone := stat.Sub(stat); gone != (Stat{}) {
			t.Errorf("a reading less itself is %+v, want nothing", gone)
		}
	})
}

func FuzzParsePressure(f *testing.F) {
	f.Add("some avg10=0.44 avg60=0.79 avg300=2.21 total=18281789\nfull avg10=0.00 total=0\n")
	f.Add("some total=\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := parsePressure(text)
		if err == nil && (p.Some < 0 || p.Full < 0) {
			t.Errorf("negative pressure %+v", p)
		}
	})
}
