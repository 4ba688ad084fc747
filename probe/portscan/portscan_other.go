//go:build !linux

package portscan

import (
	"context"
	"errors"
)

func scan(context.Context, Options) (*Result, error) { return nil, errors.ErrUnsupported }
