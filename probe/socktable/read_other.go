//go:build !linux

package socktable

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

var errUnsupported = fmt.Errorf("socket table of %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Read lists the sockets of the calling thread's network namespace on Linux.
func Read(context.Context, Options) (*Table, error) { return nil, errUnsupported }

func (t *Table) readOwners(context.Context) error { return errUnsupported }

func readFiles(context.Context, Options) ([]Socket, error) { return nil, errUnsupported }

// Destroy ends a TCP connection, on Linux.
func Destroy(context.Context, netip.AddrPort, netip.AddrPort) error { return errUnsupported }
