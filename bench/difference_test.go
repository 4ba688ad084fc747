package bench

import (
	"strings"
	"testing"
)

// took are restarts that took as long, in rounds from 0. One below 0 is tainted.
func took(ns ...float64) Result {
	var r Result
	for round, n := range ns {
		one := Restart{Round: round, P50NS: max(n, -n)}
		if n < 0 {
			one.Taint = []string{TaintSteal}
		}
		r.Restarts = append(r.Restarts, one)
	}
	return r
}

func TestDifference(t *testing.T) {
	for name, c := range map[string]struct {
		base, other     Result
		ns              float64
		rounds          int
		longer, shorter bool
		remark          string
	}{
		// The sides drift by far more than they differ.
		"drift":    {took(10, 20, 30, 40, 50, 60), took(11, 21, 31, 41, 51, 61), 1, 6, true, false, ""},
		"shorter":  {took(11, 21, 31, 41, 51, 61), took(10, 20, 30, 40, 50, 60), -1, 6, false, true, "faster than it beyond the noise"},
		"alike":    {took(10, 20, 10, 20, 10, 20), took(11, 19, 11, 19, 11, 19), 0, 6, false, false, "not slower than it beyond the noise"},
		"few":      {took(10, 10), took(20, 20), 10, 2, false, false, "too few rounds to tell it from it: 2 of"},
		"tainted":  {took(10, 10, 10, 10, 10, 10, -900), took(11, 11, 11, 11, 11, 11, 11), 1, 6, true, false, ""},
		"all":      {took(-10, -10, -10, -10, -10, -10), took(11, 11, 11, 11, 11, 11), 1, 6, true, false, ""},
		"one side": {took(10, 10, 10), took(11), 1, 1, false, false, "too few rounds to tell it from it: 1 of"},
		"none":     {took(), took(11), 0, 0, false, false, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := c.other.Over(c.base)
			if d.NS != c.ns || d.Rounds != c.rounds || d.Longer() != c.longer || d.Shorter() != c.shorter {
				t.Errorf("%+v: longer %v, shorter %v", d, d.Longer(), d.Shorter())
			}
			if remark := d.Remark("it"); !strings.HasPrefix(remark, c.remark) || c.remark == "" && remark != "" {
				t.Errorf("remark is %q, want %q", remark, c.remark)
			}
			if told := d.Inconclusive != ""; told != (name == "all") {
				t.Errorf("inconclusive: %q", d.Inconclusive)
			}
		})
	}
	if d := took(9, 9, 9, 9, 9, 9).overSome(took(2, 2, 2, 2, 2, 2), 4); d.NS != 1 || d.Ratio != 9./8 || !d.Longer() {
		t.Errorf("over four: %+v", d)
	}
}

// What was not measured is no base: the next below it is.
func TestAStepStandsOnWhatWasMeasured(t *testing.T) {
	results := make([]Result, len(rungs))
	for i, r := range rungs {
		if r.name != Pipe && r.name != NetConn && r.name != TLS {
			ns := float64(1000 * (i + 1))
			if r.batch > 0 {
				ns *= float64(r.batch)
			}
			results[i] = took(ns, ns, ns, ns, ns, ns)
			results[i].MedianNS = ns
		}
	}
	want := map[string]string{stepWakeUp: stepSyscall, Unix: stepWakeUp, UDP: Unix, TCP: UDP, HTTP: TCP}
	for _, s := range climb(results) {
		if s.Over != want[s.Name] || (s.Over == "") != (s.Adds == nil) {
			t.Errorf("%s is over %q, want %q: %+v", s.Name, s.Over, want[s.Name], s.Adds)
		}
		if s.Name == stepWakeUp && (s.BaseNS != 8000 || s.Result.MedianNS != 3000 || s.Adds.NS != -5000) {
			t.Errorf("wake-up of %v over four calls of %v: %+v", s.Result.MedianNS, s.BaseNS, s.Adds)
		}
	}
}
