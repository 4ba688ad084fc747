package sock

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"
)

// Edges tells of a socket's events once, when they arise, however long what
// they are about stays there (EPOLLET, epoll(7)).
type Edges struct{ fd int }

// WatchEdges begins to watch a socket for events.
func (s *Socket) WatchEdges(events Event) (*Edges, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	watched := unix.EpollEvent{Events: uint32(uint16(events.numbers())) | unix.EPOLLET, Fd: int32(s.fd)}
	if err := unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, s.fd, &watched); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("watch a %s socket for %s: %w", s.kind, events, err)
	}
	return &Edges{fd: fd}, nil
}

// Next takes the events that have arisen since it was last asked, 0 for none,
// without waiting.
func (e *Edges) Next() (Event, error) { return e.take(0) }

// Wait waits for events that have arisen since it was last asked.
func (e *Edges) Wait(ctx context.Context) (Event, error) {
	for {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("wait for an edge: %w", err)
		}
		events, err := e.take(pollTimeout(ctx))
		if err != nil || events != 0 {
			return events, err
		}
	}
}

func (e *Edges) take(milliseconds int) (Event, error) {
	arisen := make([]unix.EpollEvent, 1)
	var n int
	err := uninterrupted(func() (err error) {
		n, err = unix.EpollWait(e.fd, arisen, milliseconds)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("wait for an edge: %w", err)
	}
	if n == 0 {
		return 0, nil
	}
	return seen(int16(arisen[0].Events)), nil
}

// Close ends the watch.
func (e *Edges) Close() error { return unix.Close(e.fd) }
