//go:build !linux

package bench

import (
	"context"
	"errors"
	"runtime"

	"github.com/loopcheck/loopcheck/probe/topology"
)

const rawProcessors = 1

// openRaw fails: the calls that the engine makes are Linux's.
func openRaw(_ context.Context, s Spec, _ topology.Pair) (engine, error) {
	return nil, &MissingError{s, "Linux", errors.New("this is " + runtime.GOOS)}
}
