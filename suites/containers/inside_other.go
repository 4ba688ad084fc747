//go:build !linux

package containers

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

var errUnsupported = fmt.Errorf("network namespaces on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func askInside(context.Context, *sandbox.Inside, plan) (outcome, error) {
	return outcome{}, errUnsupported
}

func sizeInside(context.Context, *sandbox.Inside, plan) (bridgeMTUs, error) {
	return bridgeMTUs{}, errUnsupported
}

func transferInside(context.Context, *sandbox.Inside, plan) (transfers, error) {
	return transfers{}, errUnsupported
}
