package counters

import (
	"testing"
	"time"
)

func TestPressureSub(t *testing.T) {
	got := Pressure{Some: 5 * time.Second, Full: time.Second}.Sub(Pressure{Some: 2 * time.Second, Full: 3 * time.Second})
	if want := (Pressure{Some: 3 * time.Second}); got != want {
		t.Errorf("difference is %+v, want %+v", got, want)
	}
	if got, want := (Pressure{Some: 3 * time.Millisecond, Full: time.Microsecond}).String(), "some 3ms, full 1µs"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParsePressure(t *testing.T) {
	for _, tc := range []struct {
		name string
		of   Resource
		text string
		want Pressure
	}{
		{
			"both lines", Memory,
			"some avg10=0.44 avg60=0.79 avg300=2.21 total=18281789\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
			Pressure{Some: 18281789 * time.Microsecond, Full: 7 * time.Microsecond},
		},
		{"CPUs before 5.13", CPUs, "some avg10=0.00 avg60=0.00 avg300=0.00 total=12\n", Pressure{Some: 12 * time.Microsecond}},
		{"IRQs", IRQs, "full avg10=0.00 avg60=0.00 avg300=0.00 total=34\n", Pressure{Full: 34 * time.Microsecond}},
		{"the longest", IO, "some total=9223372036854775\n", Pressure{Some: 9223372036854775 * time.Microsecond}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parsePressure(tc.of, tc.text)
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
		"some total=9223372036854776\n", "some total=99999999999999999999\n",
	} {
		if got, err := parsePressure(IO, text); err == nil {
			t.Errorf("%q was read as %+v, want an error", text, got)
		}
	}
	if got, err := parsePressure(IRQs, "some total=4\n"); err == nil {
		t.Errorf("pressure of IRQs without its line was read as %+v, want an error", got)
	}
}

func FuzzParsePressure(f *testing.F) {
	f.Add("some avg10=0.44 avg60=0.79 avg300=2.21 total=18281789\nfull avg10=0.00 total=0\n")
	f.Add("full avg10=0.00 avg60=0.00 avg300=0.00 total=34\n")
	f.Add("some total=\n")
	f.Fuzz(func(t *testing.T, text string) {
		for _, of := range []Resource{CPUs, IRQs} {
			p, err := parsePressure(of, text)
			if err == nil && (p.Some < 0 || p.Full < 0) {
				t.Errorf("negative pressure %+v", p)
			}
		}
	})
}
