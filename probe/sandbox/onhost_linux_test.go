package sandbox

import (
	"context"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/surroundings"
)

// place is where a worker is.
type place struct {
	Network string
	PID     int
	TempDir string
}

var placeOf = Register("sandbox/place", func(context.Context, *Inside, struct{}) (p place, err error) {
	p.PID, p.TempDir = os.Getpid(), os.TempDir()
	p.Network, err = os.Readlink("/proc/self/ns/net")
	return p, err
})

// left starts a program that is meant to die with its worker, and returns its PID
// as the worker knows it.
var left = Register("sandbox/left", func(context.Context, *Inside, struct{}) (int, error) {
	command := exec.Command("sleep", "1000")
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := Launch(command); err != nil {
		return 0, err
	}
	return command.Process.Pid, nil
})

// A sandbox on the host is in the machine's network, and everybody has one.
func TestOnHostIsInTheMachinesNetwork(t *testing.T) {
	surroundings.Everywhere(t, func(t *testing.T, kind surroundings.Kind) {
		ours, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		s := begin(t, Config{OnHost: true})
		seen, err := placeOf.Call(t.Context(), s, "", struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		plain := !kind.Sandboxes()
		if seen.Network != ours || s.Facts().Plain != plain || (seen.PID == 1) == plain || (seen.TempDir == "/run") == plain {
			t.Errorf("it is in %+v, with %+v; the machine's network is %s", seen, s.Facts(), ours)
		}
		if !plain {
			return // where the PID namespace ends what was started
		}
		pid, err := left.Call(t.Context(), s, "", struct{}{})
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		ended, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, int(deathTimeout.Milliseconds()))
		if ended != 1 || err != nil {
			t.Errorf("what the worker started goes on: %d, %v", ended, err)
		}
	})
}

func TestOnHostHasNoZones(t *testing.T) {
	for _, config := range []Config{
		{OnHost: true, Zones: []string{"a"}},
		{OnHost: true, Links: []Link{{A: End{Name: "a"}, B: End{Name: "b"}}}},
	} {
		if s, err := Start(t.Context(), config); err == nil {
			_ = s.Close()
			t.Errorf("%+v was started", config)
		}
	}
}
