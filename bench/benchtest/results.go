// Package benchtest serves the tests of what prints or exports: with results of
// benchmarks that are the same each time, and with golden files.
package benchtest

import (
	"math/rand/v2"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// Results are one of each kind: clean, with two modes, at a rate that was kept
// and one that was not, a stream, a burst that is inconclusive, a skip, and one
// that was never begun. The first has the samples for p99.99.
func Results() []bench.Result {
	clean := Result(bench.Spec{Transport: bench.TCP, Placement: topology.SameCore}, 14_000, 120_000)

	free := Result(bench.Spec{Transport: bench.TCP, Engine: bench.NetConn}, 51_000, 18_000)
	free.ModesNS = []float64{19_300, 51_400}
	taint(&free, bench.TaintSteal, 2)
	free.Conditions.ClientCPUs, free.Conditions.ServerCPUs = map[int]int64{0: 700, 1: 300}, map[int]int64{0: 400, 1: 600}
	free.Conditions.Together, free.Conditions.Looks, free.Conditions.Migrations = 430, 1000, 212
	free.Conditions.Steal, free.Conditions.Pressure = 0.013, 0.31

	kept := Result(bench.Spec{Transport: bench.UDP, Placement: topology.SameLLC, RateHz: 1000}, 58_000, 1_500)
	kept.RatePerS, kept.Lost, kept.Conditions.LateNS = 1000, 2, 412
	kept.Service = map[string]float64{"p50_ns": 57_400, "p90_ns": 66_000, "p99_ns": 102_000, "max_ns": 1_310_000}

	missed := Result(bench.Spec{Transport: bench.TCP, Placement: topology.SameCore, RateHz: 200_000}, 48_000_000, 11_000)
	missed.RatePerS = 69_812
	missed.Service = map[string]float64{"p50_ns": 14_100, "p90_ns": 15_200, "p99_ns": 31_000, "p99.9_ns": 60_000, "max_ns": 900_000}

	stream := Result(bench.Spec{Transport: bench.Unix, Op: bench.Stream, Placement: topology.SameLLC}, 22_000, 40_000)
	stream.BytesPerS = 5.94e9
	for i := range stream.Restarts {
		stream.Restarts[i].BytesPerS = 5.94e9 * (0.98 + 0.004*float64(i))
	}

	burst := Result(bench.Spec{Transport: bench.TCP6, Op: bench.Burst, Placement: topology.SameLLC, SizeBytes: 1400}, 92_000, 9_000)
	taint(&burst, bench.TaintPressure, 6)
	taint(&burst, bench.TaintGC, 1)
	burst.Inconclusive = "6 of 10 restarts are tainted: cpu-pressure, gc"
	burst.Conditions.Unsteady, burst.Conditions.Collections = 3, 1
	burst.Conditions.Counters = map[string]int64{"Tcp RetransSegs": 4, "TcpExt ListenOverflows": 2, "Tcp OutSegs": 18_000}
	burst.Conditions.Waiting = 0.4

	skipped := Result(bench.Spec{Transport: bench.ICMP, Placement: topology.SameCore}, 0, 0)
	skipped.Skipped, skipped.Ended = "needs a ping socket or CAP_NET_RAW: socket: operation not permitted", ""
	never := Result(bench.Spec{Transport: bench.Pipe, Placement: topology.SameLLC}, 0, 0)
	never.Ended = bench.EndedInterrupted
	return []bench.Result{clean, free, kept, missed, stream, burst, skipped, never}
}

// Sweep is one benchmark at several sizes.
func Sweep() (all []bench.Result) {
	for _, size := range []int{1, 64, 1024, 16 << 10, 256 << 10, 1 << 20} {
		s := bench.Spec{Transport: bench.TCP, Placement: topology.SameCore, SizeBytes: size}
		all = append(all, Result(s, 14_000+float64(size)/2.2, 20_000))
	}
	return all
}

// restarts is how many a Result has.
const restarts = 10

// Result is one whose median is about the given one, or one that was not measured
// where there are no samples. Its tail is as long as loopback's is.
func Result(s bench.Spec, medianNS float64, samples int) bench.Result {
	s = s.WithDefaults()
	r := bench.Result{Name: s.Name(), Spec: s, Ended: bench.EndedRestarts}
	r.Conditions.Migrations, r.Conditions.Waiting, r.Conditions.Pressure = -1, -1, -1
	if samples == 0 {
		return r
	}
	random := rand.New(rand.NewPCG(7, uint64(medianNS)))
	const highest = int64(time.Minute)
	whole := hdrhistogram.New(1, highest, 3)
	for i := range restarts {
		one := hdrhistogram.New(1, highest, 3)
		wander := 1 + 0.02*random.NormFloat64()
		for range samples / restarts {
			ns := medianNS * wander * (1 + 0.06*random.NormFloat64())
			if random.IntN(40) == 0 {
				ns += medianNS * random.ExpFloat64()
			}
			_ = one.RecordValue(int64(max(ns, 1)))
		}
		whole.Merge(one)
		took := time.Duration(one.Mean() * float64(one.TotalCount()) * 1.01)
		r.Restarts = append(r.Restarts, bench.Restart{
			Round: i, Count: one.TotalCount(), Duration: took,
			P50NS: float64(one.ValueAtPercentile(50)), P90NS: float64(one.ValueAtPercentile(90)), P99NS: float64(one.ValueAtPercentile(99)),
			P98NS: float64(one.ValueAtPercentile(98)), P995NS: float64(one.ValueAtPercentile(99.5)),
			CPUNSPerOp: medianNS * 0.97,
		})
	}
	r.Count, r.MeanNS = whole.TotalCount(), whole.Mean()
	r.RatePerS, r.CPUNSPerOp = 1e9/(r.MeanNS*1.01), medianNS*0.97
	r.Percentiles = map[string]float64{"max_ns": float64(whole.Max())}
	for key, p := range map[string]float64{"p50_ns": 50, "p90_ns": 90, "p99_ns": 99, "p99.9_ns": 99.9, "p99.99_ns": 99.99} {
		if r.Count >= bench.SamplesFor(key) {
			r.Percentiles[key] = float64(whole.ValueAtPercentile(p))
		}
	}
	r.MedianNS = medianNS
	r.CI95 = bench.Interval{LowNS: medianNS * 0.98, HighNS: medianNS * 1.03, Confidence: 0.978515625}
	encoded, _ := whole.EncodeV2()
	r.Histogram = string(encoded)
	r.Conditions = bench.Conditions{
		VoluntaryPerOp: 2.0004, InvoluntaryPerOp: 0.0012, Pressure: 0.02, Waiting: 0.01, ClockNS: 27.5,
		Counters: map[string]int64{"Tcp OutSegs": 2 * r.Count},
	}
	return r
}

// taint marks the last restarts of a result.
func taint(r *bench.Result, reason string, n int) {
	if r.Taint == nil {
		r.Taint = map[string]int{}
	}
	r.Taint[reason] = n
	for i := range n {
		restart := &r.Restarts[len(r.Restarts)-1-i]
		restart.Taint = append(restart.Taint, reason)
	}
}
