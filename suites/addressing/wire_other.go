//go:build !linux

package addressing

import (
	"context"
	"errors"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func wireAskHere(context.Context, *sandbox.Inside, wirePlan) (wireSeen, error) {
	return wireSeen{}, errors.ErrUnsupported
}
