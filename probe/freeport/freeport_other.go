//go:build !linux

package freeport

import (
	"context"
	"errors"
)

func find(context.Context, Options) ([]*Port, error) { return nil, errors.ErrUnsupported }
