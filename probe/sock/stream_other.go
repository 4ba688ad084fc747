//go:build !linux

package sock

import (
	"context"
	"os"
)

// Edges tells of a socket's events once, on Linux.
type Edges struct{}

func (s *Socket) Ready(Event) (Event, error)         { return 0, errUnsupported }
func (s *Socket) Completion() (*Completion, error)   { return nil, errUnsupported }
func (s *Socket) WatchEdges(Event) (*Edges, error)   { return nil, errUnsupported }
func (e *Edges) Next() (Event, error)                { return 0, errUnsupported }
func (e *Edges) Wait(context.Context) (Event, error) { return 0, errUnsupported }
func (e *Edges) Close() error                        { return errUnsupported }

func (s *Socket) SendParts(context.Context, [][]byte, Flag) (int, error) { return 0, errUnsupported }

func (s *Socket) RecvParts(context.Context, [][]byte, Flag) (int, error) { return 0, errUnsupported }

func (s *Socket) SendFile(context.Context, *os.File, int64, int) (int, error) {
	return 0, errUnsupported
}

func (s *Socket) SendSeeingSignal([]byte, Flag) (raised bool, sendErr, err error) {
	return false, nil, errUnsupported
}

// MemoryFile is a file that has no name and lies in memory.
func MemoryFile([]byte) (*os.File, error) { return nil, errUnsupported }
