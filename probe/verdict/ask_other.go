//go:build !linux

package verdict

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"
)

func ofAll(context.Context, []Packet, time.Duration) ([]Answer, error) {
	return nil, fmt.Errorf("ask for the verdict of a packet on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}
