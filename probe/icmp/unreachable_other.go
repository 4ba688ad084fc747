//go:build !linux

package icmp

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

func unsupported(what string) error {
	return fmt.Errorf("%s on %s: %w", what, runtime.GOOS, errors.ErrUnsupported)
}

// QueuedError is Linux-only: elsewhere it returns errors.ErrUnsupported.
func QueuedError(context.Context, netip.AddrPort, int) (Unreachable, error) {
	return Unreachable{}, unsupported("read the error queue of a socket")
}

// CaptureError is Linux-only: elsewhere it returns errors.ErrUnsupported.
func CaptureError(context.Context, netip.AddrPort, int) (Unreachable, error) {
	return Unreachable{}, unsupported("capture an ICMP error")
}
