//go:build !linux

package sock

import "syscall"

// ConnTCPInfo fails with errors.ErrUnsupported: only Linux tells it so.
func ConnTCPInfo(syscall.Conn) (TCPInfo, error) { return TCPInfo{}, errUnsupported }
