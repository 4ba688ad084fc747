//go:build !linux

package firewall

import (
	"context"
	"errors"
	"fmt"
	"runtime"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

var errUnsupported = fmt.Errorf("nftables on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func askInside(context.Context, *sandbox.Inside, plan) (outcome, error) {
	return outcome{}, errUnsupported
}

func keepFlowsInside(context.Context, *sandbox.Inside, flowPlan) (flowOutcome, error) {
	return flowOutcome{}, errUnsupported
}
