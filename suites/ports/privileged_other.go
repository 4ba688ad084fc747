//go:build !linux

package ports

import (
	"errors"
	"fmt"
)

// dropBindService is never called: a sandbox is Linux's own.
func dropBindService() error {
	return fmt.Errorf("drop CAP_NET_BIND_SERVICE: %w", errors.ErrUnsupported)
}
