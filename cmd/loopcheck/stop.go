package main

import (
	"errors"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
)

// stopper turns SIGINT and SIGTERM into a request to stop, and a second one
// into an end at once.
type stopper struct {
	signals   chan os.Signal
	requested chan struct{}
	first     atomic.Int32 // the exit code of the first signal; 0 while there was none
	writing   atomic.Bool
}

// listen starts to listen. Onfirst and onsecond run when the signals come;
// the process exits after onsecond.
func listen(onfirst, onsecond func()) *stopper {
	s := &stopper{signals: make(chan os.Signal, 2), requested: make(chan struct{})}
	signal.Notify(s.signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		for sig := range s.signals {
			if s.first.CompareAndSwap(0, int32(codeOf(sig))) {
				close(s.requested)
				if !s.writing.Load() {
					onfirst()
				}
				continue
			}
			if s.writing.Load() {
				continue // the reports are milliseconds from being whole
			}
			onsecond()
			os.Exit(codeOf(sig))
		}
	}()
	return s
}

// finishing says that all checks have ended and only the reports remain: from
// here on a signal waits for them.
func (s *stopper) finishing() { s.writing.Store(true) }

// code is the exit code of the signal that came, or 0.
func (s *stopper) code() int { return int(s.first.Load()) }

func codeOf(sig os.Signal) int {
	if sig == syscall.SIGTERM {
		return exitTerminated
	}
	return exitInterrupted
}

// ignoreClosedPipe drops the error of a reader who went away: the reports are
// written, and the exit code has to tell of them.
func ignoreClosedPipe(err error) error {
	if errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}
