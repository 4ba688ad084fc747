package main

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/loopcheck/loopcheck/lab/leftovers"
	"golang.org/x/sys/unix"
)

// reap collects the zombies that were handed to soak, which is a subreaper. The
// processes it started itself are left to those who wait for them.
func (s *soak) reap() {
	processes, err := leftovers.Watch{Root: os.Getpid()}.Processes()
	if err != nil {
		return // the snapshot that follows meets the same error and returns it
	}
	for _, p := range processes {
		if p.State == 'Z' && p.PPID == os.Getpid() && !s.own[p.PID] {
			_, _ = unix.Wait4(p.PID, nil, unix.WNOHANG, nil)
		}
	}
}

// endDeadline bounds how long killed processes may take to be gone.
const endDeadline = 10 * time.Second

// endInterval is the pause between two looks at them.
const endInterval = 10 * time.Millisecond

// endStrays kills every process that descends from the command or carries its
// mark, and waits until they are gone. Hogs, and whoever else soak still waits
// for, are left alone.
func (s *soak) endStrays() error {
	watch := leftovers.Watch{Root: os.Getpid(), Mark: s.mark}
	deadline := time.Now().Add(endDeadline)
	pause := time.NewTicker(endInterval)
	defer pause.Stop()
	for {
		s.reap()
		alive, err := s.killAll(watch)
		if err != nil {
			return err
		}
		if alive == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%d processes of the command outlive SIGKILL", alive)
		}
		<-pause.C
	}
}

// killAll sends SIGKILL to the strays and returns how many there were. A process
// is killed by a descriptor that is known to be of the very process that was
// listed, not of a later one with its PID.
func (s *soak) killAll(watch leftovers.Watch) (int, error) {
	strays, err := watch.Processes()
	if err != nil {
		return 0, err
	}
	type identity struct {
		pid   int
		start uint64
	}
	opened := map[identity]int{}
	defer func() {
		for _, fd := range opened {
			unix.Close(fd)
		}
	}()
	for _, p := range strays {
		if s.own[p.PID] {
			continue
		}
		fd, err := unix.PidfdOpen(p.PID, 0)
		if errors.Is(err, unix.ESRCH) {
			continue
		}
		if err != nil {
			return 0, fmt.Errorf("open %s to end it: %w", p, err)
		}
		opened[identity{p.PID, p.Start}] = fd
	}
	if strays, err = watch.Processes(); err != nil {
		return 0, err
	}
	for _, p := range strays {
		if fd, ok := opened[identity{p.PID, p.Start}]; ok {
			if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && !errors.Is(err, unix.ESRCH) {
				return 0, fmt.Errorf("end %s: %w", p, err)
			}
		}
	}
	return len(opened), nil
}
