//go:build !linux

package ruleset

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

var errUnsupported = fmt.Errorf("netfilter on %s: %w", runtime.GOOS, errors.ErrUnsupported)

func Read(context.Context) (*Ruleset, error) { return nil, errUnsupported }

func Load(context.Context, *Ruleset) (*Copy, error) { return nil, errUnsupported }

func LoadFile(context.Context, File) error { return errUnsupported }

func replaceRules(context.Context, string, replacement) (*Copy, error) { return nil, errUnsupported }
