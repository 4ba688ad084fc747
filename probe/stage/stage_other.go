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
