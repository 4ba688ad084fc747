package bench

import "github.com/loopcheck/loopcheck/probe/topology"

// stay keeps the calling thread on a processor.
func stay(cpu int) error { return topology.Stay(cpu) }
