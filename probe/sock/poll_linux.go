package sock

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// wakeInterval bounds how long a poll goes on after its context was cancelled.
// A deadline is met without it, so it only has to be short for a person who
// pressed Ctrl-C and long enough that waiting costs nothing.
const wakeInterval = 20 * time.Millisecond

var eventNumbers = []struct {
	event  Event
	number int16
}{
	{Readable, unix.POLLIN},
	{Writable, unix.POLLOUT},
	{Failed, unix.POLLERR},
	{HungUp, unix.POLLHUP},
	{PeerClosed, unix.POLLRDHUP},
}

// Poll waits until one of the events, Failed or HungUp is there and returns
// all that are (poll(2)). With no event asked for it waits for those two.
func (s *Socket) Poll(ctx context.Context, events Event) (Event, error) {
	fds := []unix.PollFd{{Fd: int32(s.fd), Events: events.numbers()}}
	awaited := cmp.Or(events, Failed|HungUp)
	for {
		if err := ctx.Err(); err != nil {
			return 0, fmt.Errorf("wait for %s: %w", awaited, err)
		}
		n, err := unix.Poll(fds, pollTimeout(ctx))
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 0, fmt.Errorf("poll for %s: %w", awaited, err)
		case n > 0 && fds[0].Revents&unix.POLLNVAL != 0:
			return 0, fmt.Errorf("poll for %s: %w", awaited, syscall.EBADF)
		case n > 0:
			return seen(fds[0].Revents), nil
		}
	}
}

// pollTimeout is how many milliseconds the next poll may take. It rounds up,
// so that the last poll before a deadline does not spin.
func pollTimeout(ctx context.Context) int {
	wait := wakeInterval
	if deadline, ok := ctx.Deadline(); ok {
		wait = min(wait, time.Until(deadline))
	}
	return int((max(wait, 0) + time.Millisecond - 1) / time.Millisecond)
}

func seen(revents int16) Event {
	var events Event
	for _, e := range eventNumbers {
		if revents&e.number != 0 {
			events |= e.event
		}
	}
	return events
}

// retry makes the call until it does anything else than ask to be made later,
// waiting for the event in between.
func (s *Socket) retry(ctx context.Context, event Event, call func() error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	for {
		err := uninterrupted(call)
		if !errors.Is(err, syscall.EAGAIN) {
			return err
		}
		if _, err := s.Poll(ctx, event); err != nil {
			return err
		}
	}
}

// uninterrupted makes the call again while a signal gets in its way: the Go
// runtime sends itself some to preempt goroutines.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
