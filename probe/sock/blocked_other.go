//go:build !linux

package sock

import "context"

// StartBlocked makes a call that waits in the kernel, on Linux.
func StartBlocked(context.Context, func()) (<-chan struct{}, error) { return nil, errUnsupported }
