package main

import (
	"context"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

// writeGrace is how long the reports may still take once a second signal came
// while they were written. They take milliseconds; a file system that hangs
// takes for ever.
const writeGrace = 2 * time.Second

// sameRequest is how soon after a signal the same one is no second request:
// timeout(1) signals its command and then its whole process group. Nobody presses
// Ctrl-C twice as fast.
const sameRequest = 200 * time.Millisecond

// abandonGrace is how long a second signal waits for what the run has to take away.
// An engine removes a container, a network and an image within a second or two; one
// that hangs is not waited for.
const abandonGrace = 3 * time.Second

// phase is how far a run has come, which decides what a signal does.
type phase int32

const (
	checking phase = iota // a signal lets the check under way end
	writing               // a signal lets the reports become whole
	printing              // a signal ends the process at once
)

// stopper turns SIGINT and SIGTERM into a request to stop, and a second one
// into an end at once.
type stopper struct {
	signals   chan os.Signal
	requested chan struct{}
	first     atomic.Int32 // the exit code of the first signal; 0 while there was none
	phase     atomic.Int32
}

// listen starts to listen. Onfirst and onsecond run when the signals come
// while checks run; the process exits after onsecond, which is given those that
// follow.
func listen(onfirst func(), onsecond func(further <-chan os.Signal)) *stopper {
	s := &stopper{signals: make(chan os.Signal, 2), requested: make(chan struct{})}
	signal.Notify(s.signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		var came time.Time
		for sig := range s.signals {
			first := s.first.CompareAndSwap(0, int32(codeOf(sig)))
			if first {
				came = time.Now()
				close(s.requested)
			} else if codeOf(sig) == s.code() && time.Since(came) < sameRequest {
				continue
			}
			switch phase(s.phase.Load()) {
			case checking:
				if first {
					onfirst()
					continue
				}
				onsecond(s.signals)
				os.Exit(codeOf(sig))
			case writing:
				if !first {
					time.AfterFunc(writeGrace, func() { os.Exit(codeOf(sig)) })
				}
			case printing:
				os.Exit(codeOf(sig))
			}
		}
	}()
	return s
}

// interruptible returns a context that the first SIGINT or SIGTERM ends. The
// second ends the process at once.
func interruptible() (context.Context, *stopper) {
	ctx, cancel := context.WithCancel(context.Background())
	return ctx, listen(cancel, func(<-chan os.Signal) {})
}

// briefly runs a function until it ends, the grace is over or one more signal comes,
// and says whether it has ended. One that comes at once is the same request.
func briefly(grace time.Duration, further <-chan os.Signal, f func()) bool {
	began, over, done := time.Now(), time.After(grace), make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	for {
		select {
		case <-done:
			return true
		case <-over:
			return false
		case <-further:
			if time.Since(began) >= sameRequest {
				return false
			}
		}
	}
}

// or is the error of a command that a signal ended, where one did, and otherwise
// the given one.
func (s *stopper) or(err error) error {
	if code := s.code(); code != 0 {
		return codeError(code)
	}
	return err
}

// enter says how far the run has come.
func (s *stopper) enter(p phase) { s.phase.Store(int32(p)) }

// code is the exit code of the signal that came, or 0.
func (s *stopper) code() int { return int(s.first.Load()) }

// codeOf is the exit code of a program that a signal stopped, as shells tell it.
func codeOf(sig os.Signal) int {
	if number, ok := sig.(syscall.Signal); ok {
		return exitSignalled + int(number)
	}
	return exitInterrupted
}
