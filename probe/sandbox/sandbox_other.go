//go:build !linux

package sandbox

import (
	"context"
	"encoding/json"
	"errors"
	"runtime"
)

// Sandbox is a worker on Linux. Nothing starts one here.
type Sandbox struct{}

// Inside is a function's view of its sandbox.
type Inside struct{}

// Main does nothing here.
func Main() {}

// Start fails with a RefusedError.
func Start(context.Context, Config) (*Sandbox, error) {
	return nil, &RefusedError{Why: "this is " + runtime.GOOS, How: "run it on Linux", Err: errors.ErrUnsupported}
}

func (s *Sandbox) Facts() Facts { return Facts{} }
func (s *Sandbox) PID() int     { return 0 }
func (s *Sandbox) Close() error { return nil }

func (s *Sandbox) call(context.Context, string, string, json.RawMessage) (json.RawMessage, error) {
	return nil, errors.ErrUnsupported
}

func (in *Inside) Zone() string                  { return "" }
func (in *Inside) Do(string, func() error) error { return errors.ErrUnsupported }
