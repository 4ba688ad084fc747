//go:build !linux

package stage

import (
	"context"
	"errors"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func setInside(context.Context, *sandbox.Inside, order) (withoutIPv6 string, err error) {
	return "", errors.ErrUnsupported
}

func arriveInside(context.Context, *sandbox.Inside, arrivalOrder) (Arrival, error) {
	return Arrival{}, errors.ErrUnsupported
}
