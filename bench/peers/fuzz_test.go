package main

import (
	"math"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/bench"
)

// fuzzPeer reads output that nobody wrote: it is an error, or figures that a
// comparison can take.
func fuzzPeer(f *testing.F, prefix string, j job, p *peer) {
	for _, c := range outputs {
		if strings.HasPrefix(c.file, prefix) {
			f.Add(kept(f, c.file))
		}
	}
	f.Fuzz(func(t *testing.T, output string) {
		r, err := p.read(j, output, output)
		if err != nil {
			if r.Count != 0 || err.Error() == "" {
				t.Errorf("figures %+v beside error %q", r, err)
			}
			return
		}
		for _, v := range []float64{r.P50NS, r.P90NS, r.P99NS, r.RatePerS(), r.BytesPerS} {
			if math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				t.Errorf("%+v has %v", r, v)
			}
		}
		if r.Count < 1 || r.RatePerS() <= 0 || r.P50NS > r.P99NS {
			t.Errorf("%+v cannot be", r)
		}
	})
}

func FuzzFloor(f *testing.F) {
	fuzzPeer(f, "floor", jobOf(bench.TCP, bench.RR, 1), floorPeer(floorName, ""))
}

func FuzzSockperf(f *testing.F) {
	fuzzPeer(f, "sockperf", jobOf(bench.TCP, bench.RR, sockperfBytes), sockperf(bench.TCP))
}
func FuzzQperf(f *testing.F) { fuzzPeer(f, "qperf", jobOf(bench.TCP, bench.RR, 1), qperf()) }
func FuzzIperf3(f *testing.F) {
	fuzzPeer(f, "iperf3", jobOf(bench.TCP, bench.Stream, bench.DefaultStreamBytes), iperf3())
}
func FuzzNetperf(f *testing.F) { fuzzPeer(f, "netperf", jobOf(bench.TCP, bench.RR, 1), netperf()) }
func FuzzNeper(f *testing.F) {
	fuzzPeer(f, "neper", jobOf(bench.TCP, bench.RR, 1), neper(bench.RR))
}

func FuzzNeperStream(f *testing.F) {
	fuzzPeer(f, "neper", jobOf(bench.TCP, bench.Stream, bench.DefaultStreamBytes), neper(bench.Stream))
}
