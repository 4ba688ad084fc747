package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/process"
)

const (
	// undoLimit is how long a command that undoes a side may take: the machine must
	// not stay as it is for ever because of one that hangs.
	undoLimit = 30 * time.Second
	// commandGrace is how long a command that is asked to end, and what it started, may
	// still take, and how long is waited for the output of what it leaves running.
	commandGrace = 500 * time.Millisecond
)

// commandError says that a command of the user's failed.
type commandError struct {
	flag, command string
	err           error
	said          string // the last line of its output
}

func (e *commandError) Error() string {
	text := fmt.Sprintf("--%s %q: %v", e.flag, e.command, e.err)
	if e.said != "" {
		text += ": " + e.said
	}
	return text
}

func (e *commandError) Unwrap() error { return e.err }

// undoError says that a side was not undone.
type undoError struct {
	side string // "A" or "B"
	err  error
}

func (e *undoError) Error() string {
	return fmt.Sprintf("%v: this machine may still be as %s was set up", e.err, e.side)
}

func (e *undoError) Unwrap() error { return e.err }

// shell runs a command of a flag by /bin/sh, in a session of its own: a Ctrl-C is
// for loopcheck to handle, which still has to undo. The command is asked to end when
// the context does.
func shell(ctx context.Context, flag, command string) error {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	var out process.Tail
	cmd.Stdout, cmd.Stderr = &out, &out
	err := runApart(cmd)
	switch {
	case errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil: // it left something running
		return nil
	case err != nil && ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	if err != nil {
		return &commandError{flag, command, err, out.LastLine()}
	}
	return nil
}

// undoing is what has to be undone of the side that is set up. It is undone once,
// by whoever comes first: the turn that ends, or a signal that ends the process.
type undoing struct {
	mu            sync.Mutex
	flag, command string // empty where there is nothing to undo
}

func (u *undoing) due(flag, command string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.flag, u.command = flag, command
}

// now undoes, and waits for whoever already does.
func (u *undoing) now() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.command == "" {
		return nil
	}
	command := u.command
	u.command = ""
	// No context of the measuring: it is undone however that ends.
	ctx, cancel := context.WithTimeoutCause(context.Background(), undoLimit, fmt.Errorf("it took longer than %v", undoLimit))
	defer cancel()
	return shell(ctx, u.flag, command)
}

// commanded is a side with commands of the user's around each restart.
type commanded struct {
	bench.Side
	flag        string // "a" or "b"
	setup, undo string
	undoing     *undoing
}

// Restart sets up, measures and undoes. It undoes also what a failed setup may have
// done half of.
func (c *commanded) Restart(ctx context.Context, round int) (r bench.Restart, err error) {
	if ctx.Err() != nil {
		return bench.Restart{}, context.Cause(ctx)
	}
	c.undoing.due(c.flag+"-undo", c.undo)
	defer func() {
		undoErr := c.undoing.now()
		switch {
		case undoErr == nil:
		case err == nil:
			err = &undoError{strings.ToUpper(c.flag), undoErr}
		default:
			err = fmt.Errorf("%w; %w", err, &undoError{strings.ToUpper(c.flag), undoErr})
		}
	}()
	if c.setup != "" {
		if err := shell(ctx, c.flag+"-setup", c.setup); err != nil {
			return bench.Restart{}, err
		}
	}
	return c.Side.Restart(ctx, round)
}
