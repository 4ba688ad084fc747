//go:build !linux

package nftrace

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

var errUnsupported = fmt.Errorf("nf_tables on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Reader reads trace messages on Linux. Nothing makes one here.
type Reader struct{}

func Open() (*Reader, error) { return nil, errUnsupported }

func (r *Reader) Close() error { return errUnsupported }

func (r *Reader) Gather(context.Context, func(Packet) bool) (*Trace, error) {
	return nil, errUnsupported
}

func (r *Reader) Pending() (*Trace, error) { return nil, errUnsupported }

// Marking marks packets on Linux. Nothing makes one here.
type Marking struct{}

func Mark(...Flow) (*Marking, error) { return nil, errUnsupported }

func (m *Marking) Table() string { return "" }
func (m *Marking) Close() error  { return errUnsupported }
