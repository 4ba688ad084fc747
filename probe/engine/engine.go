// Package engine runs containers by the command line of Docker or Podman, from an
// image that it makes of one static binary, and asks from within them.
//
// An engine edits the rules, interfaces and settings of its host. So this package
// is for those who asked for that. What it makes has names that begin with
// "loopcheck-" and the number of the process: it is removed by Close, and
// what a process left that was killed is removed by the next session. Its
// containers end by themselves when that process is gone, since their standard
// input ends with it.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// Names are the engines that are known.
var Names = []string{"docker", "podman"}

const (
	// answerTimeout bounds what only asks the engine. A daemon that is started by
	// the request takes a second or two.
	answerTimeout = 15 * time.Second
	// loadTimeout bounds the loading of the image, which has some 20 MB.
	loadTimeout = time.Minute
	// startTimeout bounds the start of a container: with the vfs storage driver the
	// image is copied for each.
	startTimeout = time.Minute
	// endTimeout bounds the end of a container whose input has ended.
	endTimeout = 10 * time.Second
)

// Engine is one that answers.
type Engine struct {
	// Name is docker or podman, and Version what it says of itself.
	Name, Version string
	// Rootless says that it runs without the rights of root, and so has a network
	// of its own between the host and the containers.
	Rootless bool

	path string
}

// MissingError says that there is no such program.
type MissingError struct{ Name string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("%s is not installed: install it, or name another engine", e.Name)
}

// SilentError says that the program is there and its engine does not answer.
type SilentError struct {
	Name string
	// Said is what the program printed.
	Said string
}

func (e *SilentError) Error() string {
	how := "start it with `systemctl start docker`, or join the group docker"
	if e.Name == "podman" {
		how = "see `podman info`"
	}
	return fmt.Sprintf("%s does not answer: %s: %s", e.Name, e.Said, how)
}

// CommandError is a command of the engine that failed.
type CommandError struct {
	// Command is without what loopcheck's own binary is told.
	Command string
	// Said is what the engine printed.
	Said string
	Err  error
}

func (e *CommandError) Error() string {
	if e.Said == "" {
		return fmt.Sprintf("%s: %v", e.Command, e.Err)
	}
	return fmt.Sprintf("%s: %s", e.Command, e.Said)
}

func (e *CommandError) Unwrap() error { return e.Err }

// Find returns an engine by its name. The error is a *MissingError or a
// *SilentError.
func Find(ctx context.Context, name string) (*Engine, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, &MissingError{name}
	}
	e := &Engine{Name: name, path: path}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	// Of the two only the daemon's part of the version tells that it answers.
	formats := map[string][2]string{
		"docker": {"{{.ServerVersion}}", "{{.SecurityOptions}}"},
		"podman": {"{{.Version.Version}}", "{{.Host.Security.Rootless}}"},
	}
	out, err := e.run(ctx, "info", "--format", formats[name][0]+"\n"+formats[name][1])
	version, security, _ := strings.Cut(out, "\n")
	if err != nil || strings.TrimSpace(version) == "" {
		said := out
		if failed, ok := errors.AsType[*CommandError](err); ok {
			said = failed.Said
		}
		return nil, &SilentError{Name: name, Said: oneLine(said)}
	}
	e.Version = strings.TrimSpace(version)
	e.Rootless = strings.Contains(security, "rootless") || strings.TrimSpace(security) == "true"
	return e, nil
}

// run runs a command of the engine to its end and returns what it printed.
func (e *Engine) run(ctx context.Context, arguments ...string) (string, error) {
	return e.feed(ctx, nil, arguments...)
}

// feed is run with an input.
func (e *Engine) feed(ctx context.Context, input *bytes.Reader, arguments ...string) (string, error) {
	command := exec.CommandContext(ctx, e.path, arguments...)
	var out, failed bytes.Buffer
	command.Stdout, command.Stderr = &out, &failed
	if input != nil {
		command.Stdin = input
	}
	// The engine's helpers may hold the output for longer than the command lives.
	command.WaitDelay = time.Second
	apart(command)
	if err := command.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return out.String(), &CommandError{Command: e.Name + " " + arguments[0], Said: oneLine(failed.String()), Err: err}
	}
	return strings.TrimSpace(out.String()), nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
