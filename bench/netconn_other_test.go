//go:build !linux

package bench

import (
	"testing"

	"github.com/loopcheck/loopcheck/probe/topology"
)

func playParent() {}

func processorsOf(_ *testing.T, _ Spec) topology.Pair {
	return topology.Pair{Placement: topology.Free, Client: -1, Server: -1}
}
