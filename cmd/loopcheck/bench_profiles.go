package main

import (
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// benchProfile is what is measured where nothing is chosen, and how.
type benchProfile struct {
	pinned []bench.Spec // on each of the usual placements of a raw engine
	free   []bench.Spec
	plan   bench.Plan
}

// quickly are the primitives that services are made of, at the size of a small
// request.
var quickly = []bench.Spec{{Transport: bench.TCP}, {Transport: bench.UDP}, {Transport: bench.Unix}, {Transport: bench.Pipe}}

// thoroughly is every operation of a raw engine that a service may wait for.
var thoroughly = append([]bench.Spec{
	{Transport: bench.TCP, SizeBytes: 1400},
	{Transport: bench.TCP6},
	{Transport: bench.UDP6},
	{Transport: bench.TCP, Engine: bench.RawSpin},
	{Transport: bench.TCP, Op: bench.CRR},
	{Transport: bench.TCP, Op: bench.Connect},
	{Transport: bench.TCP, Op: bench.Stream},
	{Transport: bench.TCP, Op: bench.Burst},
	{Transport: bench.ICMP},
}, quickly...)

var services = []bench.Spec{
	{Transport: bench.TCP, Engine: bench.NetConn},
	{Transport: bench.TCP, Engine: bench.NetConn, Flows: 16},
	{Transport: bench.TCP, Engine: bench.NetConn, RateHz: 1000},
	{Transport: bench.HTTP, Engine: bench.NetConn},
	{Transport: bench.HTTP, Op: bench.CRRGraceful, Engine: bench.NetConn},
	{Transport: bench.TLS, Engine: bench.NetConn},
}

// profileNames are the values of --profile.
var profileNames = []string{"quick", "standard", "full"}

// benchProfiles are those of each name.
var benchProfiles = map[string]benchProfile{
	"quick": {
		pinned: quickly, free: services[:1],
		plan: bench.Plan{Restarts: bench.DefaultRestarts, Window: 20 * time.Millisecond, Limit: 6 * time.Second},
	},
	"standard": {
		pinned: thoroughly, free: services,
		plan: bench.Plan{Restarts: bench.DefaultRestarts, Window: bench.DefaultWindow, Limit: 90 * time.Second},
	},
	"full": {
		pinned: thoroughly, free: services,
		plan: bench.Plan{Restarts: bench.DefaultRestarts, Window: bench.DefaultWindow, Precision: 0.02, Limit: defaultPrecisionLimit},
	},
}

// specs are the benchmarks of a profile on a machine with such processors.
func (p benchProfile) specs(processors topology.Topology) []bench.Spec {
	var specs []bench.Spec
	for _, s := range p.pinned {
		for _, placement := range usualPlacements(s.WithDefaults(), processors) {
			s.Placement = topology.Placement(placement)
			specs = append(specs, s)
		}
	}
	return append(specs, p.free...)
}
