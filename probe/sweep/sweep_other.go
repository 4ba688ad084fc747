//go:build !linux

package sweep

import (
	"context"
	"errors"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func askInside(context.Context, *sandbox.Inside, order) ([][]Run, error) {
	return nil, errors.ErrUnsupported
}

func traceInside(context.Context, *sandbox.Inside, order) ([]Way, error) {
	return nil, errors.ErrUnsupported
}

func stopInside() error { return errors.ErrUnsupported }
