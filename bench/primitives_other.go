//go:build !linux

package bench

import (
	"context"
	"errors"
	"runtime"

	"github.com/loopcheck/loopcheck/probe/topology"
)

func openSyscall(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
	return openFutex(ctx, s, pair)
}

// openFutex fails: the calls are Linux's.
func openFutex(_ context.Context, s Spec, _ topology.Pair) (engine, error) {
	return nil, &MissingError{s, "Linux", errors.New("this is " + runtime.GOOS)}
}
