package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/socktable"
	"github.com/loopcheck/loopcheck/probe/topology"
)

const (
	// readyWithin is when a server that has not opened its port counts as broken.
	readyWithin = 5 * time.Second
	// lookEvery is how often is looked for that port: no program tells of it in a way
	// that all of them share.
	lookEvery = 2 * time.Millisecond
	// endedWithin is how long output is waited for after a process has ended, of
	// whoever else may have it open.
	endedWithin = 2 * time.Second
)

// program is a process, and whatever it starts.
type program struct {
	name   string
	cmd    *exec.Cmd
	out    bytes.Buffer
	errOut bytes.Buffer
	ended  chan struct{}
	killed bool  // by its context
	err    error // when it has ended, as is killed
}

// start starts a program on a processor, or where it may run for -1. It ends with
// the context, and with this process.
func start(ctx context.Context, cpu int, path string, args ...string) (*program, error) {
	p := &program{name: filepath.Base(path), ended: make(chan struct{})}
	p.cmd = exec.CommandContext(ctx, path, args...)
	p.cmd.Env = append(os.Environ(), "LC_ALL=C")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.errOut
	p.cmd.SysProcAttr = &unix.SysProcAttr{Setpgid: true, Pdeathsig: unix.SIGKILL}
	p.cmd.Cancel = func() error {
		p.killed = true
		return unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
	}
	p.cmd.WaitDelay = endedWithin

	started := make(chan error, 1)
	go func() {
		defer close(p.ended)
		// It inherits the processor of the thread that starts it, which has to last as
		// long as it does: Pdeathsig is sent when that thread ends (prctl(2)).
		p.err = topology.On(cpu, func() error {
			err := p.cmd.Start()
			started <- err
			if err != nil {
				return err
			}
			return p.cmd.Wait()
		})
		select {
		case started <- p.err: // it did not come to be
		default:
		}
	}()
	if err := <-started; err != nil {
		<-p.ended
		return nil, fmt.Errorf("start %s: %w", p.name, err)
	}
	return p, nil
}

// wait waits until the program has ended, and returns what it printed.
func (p *program) wait(ctx context.Context) (string, error) {
	<-p.ended // which the context ends
	defer p.killRest()
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s did not end: %w", p.name, context.Cause(ctx))
	}
	if p.err != nil {
		return "", p.failure(p.err)
	}
	return p.out.String(), nil
}

// failure adds to an error the last that the program said.
func (p *program) failure(err error) error {
	for _, said := range []string{p.errOut.String(), p.out.String()} {
		lines := strings.Split(strings.TrimSpace(said), "\n")
		if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
			return fmt.Errorf("%s: %w: %s", p.name, err, last)
		}
	}
	return fmt.Errorf("%s: %w", p.name, err)
}

// died says how the program has failed by itself, if it has.
func (p *program) died() error {
	select {
	case <-p.ended:
		if p.err != nil && !p.killed {
			return p.failure(p.err)
		}
	default:
	}
	return nil
}

// end ends the program, if it still runs, and what it started.
func (p *program) end() {
	select {
	case <-p.ended:
	default:
		_ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL)
		<-p.ended
	}
	p.killRest()
}

// killRest ends those that are left of its process group.
func (p *program) killRest() { _ = unix.Kill(-p.cmd.Process.Pid, unix.SIGKILL) }

// awaitPort waits until a server has opened its port, which is not connected to:
// some serve the first who comes, and end.
func (p *program) awaitPort(ctx context.Context, within time.Duration, protocol socktable.Protocol, port uint16) error {
	ctx, cancel := context.WithTimeoutCause(ctx, within, fmt.Errorf("%s did not open %s port %d within %v", p.name, protocol, port, within))
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{protocol}})
		if err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return fmt.Errorf("look for the port of %s: %w", p.name, err)
		}
		for _, s := range table.Sockets {
			if s.Local.Port() == port && s.Listens() {
				return nil
			}
		}
		select {
		case <-p.ended:
			if p.err != nil {
				return p.failure(p.err)
			}
			return p.failure(errors.New("ended before it was asked anything"))
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
