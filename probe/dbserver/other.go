//go:build !linux

package dbserver

import (
	"context"
	"errors"
	"fmt"
	"runtime"
)

// Keeper holds servers on Linux. Nothing starts one here.
type Keeper struct{}

type running struct{}

// Start says that servers are started on Linux alone.
func Start(context.Context) (*Keeper, error) {
	return nil, fmt.Errorf("start database servers on %s: %w", runtime.GOOS, errors.ErrUnsupported)
}

func (k *Keeper) Close() error                              { return nil }
func (k *Keeper) MakePostgres(context.Context) error        { return errors.ErrUnsupported }
func (k *Keeper) Postgres(context.Context) (*Server, error) { return nil, errors.ErrUnsupported }
func (k *Keeper) Redis(context.Context) (*Server, error)    { return nil, errors.ErrUnsupported }
func (s *Server) Kill(context.Context) error                { return errors.ErrUnsupported }
func (s *Server) Restart(context.Context) error             { return errors.ErrUnsupported }
func (s *Server) Log(context.Context) (string, error)       { return "", errors.ErrUnsupported }
