// Package engine runs containers by the command line of Docker or Podman, from an
// image that it makes of one static binary, and asks from within them.
//
// An engine edits the rules, interfaces and settings of its host. So this package
// is for those who asked for that. What it makes has a label that names its process:
// it is removed by Close, and what a process left that was killed is removed by the
// next session. Its containers end by themselves when that process is gone, since
// their standard input ends with it.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
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
	// helperDelay is how long the engine's helpers may hold the output of a command
	// that has ended.
	helperDelay = time.Second
)

// Engine is one that answers.
type Engine struct {
	// Name is docker or podman, and Version what it says of itself.
	Name, Version string
	// Rootless says that it runs without the rights of root, and so has a network
	// of its own between the host and the containers.
	Rootless bool
	// Remapped says that users of its containers are others of the host, by the
	// daemon's setting userns-remap of Docker.
	Remapped bool

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

// ElsewhereError says that the engine runs on another machine, a virtual one
// included: what it publishes is not at this machine's localhost.
type ElsewhereError struct {
	Name string
	// Where is its address, or what tells that it is another machine.
	Where string
}

func (e *ElsewhereError) Error() string {
	how := "unset DOCKER_HOST and DOCKER_CONTEXT, or write `docker context use default`"
	if e.Name == "podman" {
		how = "unset CONTAINER_HOST and CONTAINER_CONNECTION, or use the machine's own podman"
	}
	return fmt.Sprintf("%s runs on another machine (%s): only one at a unix socket of this machine is asked: %s", e.Name, e.Where, how)
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

// question is what an engine is asked of itself, a template each.
type question struct{ version, security, kernel, remote string }

var questions = map[string]question{
	// Of the versions only the daemon's tells that it answers.
	"docker": {"{{.ServerVersion}}", "{{.SecurityOptions}}", "{{.KernelVersion}}", "{{.OperatingSystem}}"},
	"podman": {"{{.Version.Version}}", "{{.Host.Security.Rootless}}", "{{.Host.Kernel}}", "{{.Host.ServiceIsRemote}}"},
}

// kernelRelease is a variable so that tests can show another machine's.
var kernelRelease = func() (string, error) {
	text, err := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(text)), err
}

// Find returns an engine of this machine by its name. The error is a *MissingError,
// a *SilentError or an *ElsewhereError.
func Find(ctx context.Context, name string) (*Engine, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return nil, &MissingError{name}
	}
	e := &Engine{Name: name, path: path}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	at, err := e.endpoint(ctx)
	if err != nil {
		return nil, e.silent("", err)
	}
	if at != "" && !strings.HasPrefix(at, "unix://") {
		return nil, &ElsewhereError{Name: name, Where: at}
	}
	q := questions[name]
	out, err := e.run(ctx, "info", "--format", strings.Join([]string{q.version, q.security, q.kernel, q.remote}, "\n"))
	lines := append(strings.Split(out, "\n"), "", "", "", "")
	version, security, kernel, remote := strings.TrimSpace(lines[0]), strings.TrimSpace(lines[1]), strings.TrimSpace(lines[2]), strings.TrimSpace(lines[3])
	if err != nil || version == "" {
		return nil, e.silent(out, err)
	}
	// A socket may lead to a virtual machine, which has a kernel of its own.
	own, err := kernelRelease()
	switch {
	case remote == "Docker Desktop":
		return nil, &ElsewhereError{Name: name, Where: remote}
	case remote == "true" && at == "":
		return nil, &ElsewhereError{Name: name, Where: "the default connection of `podman system connection list`"}
	case err == nil && kernel != own:
		return nil, &ElsewhereError{Name: name, Where: fmt.Sprintf("its kernel is %q, and this one %q", kernel, own)}
	}
	e.Version = version
	e.Rootless = strings.Contains(security, "rootless") || security == "true"
	e.Remapped = strings.Contains(security, "name=userns")
	return e, nil
}

// endpoint is where the engine's program asks, such as "unix:///run/docker.sock";
// "" where it needs nobody, or does not say.
func (e *Engine) endpoint(ctx context.Context) (string, error) {
	if e.Name == "docker" {
		// It knows of DOCKER_HOST, DOCKER_CONTEXT and the context in use.
		return e.run(ctx, "context", "inspect", "--format", "{{.Endpoints.docker.Host}}")
	}
	if connection := os.Getenv("CONTAINER_CONNECTION"); connection != "" {
		return "the connection " + connection, nil
	}
	return os.Getenv("CONTAINER_HOST"), nil
}

// silent is the error of an engine that printed something and failed.
func (e *Engine) silent(out string, err error) error {
	if failed, ok := errors.AsType[*CommandError](err); ok {
		out = failed.Said
	}
	return &SilentError{Name: e.Name, Said: oneLine(out)}
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
	command.WaitDelay = helperDelay
	apart(command)
	if err := command.Run(); err != nil && !errors.Is(err, exec.ErrWaitDelay) {
		return out.String(), &CommandError{Command: e.Name + " " + arguments[0], Said: oneLine(failed.String()), Err: err}
	}
	return strings.TrimSpace(out.String()), nil
}

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
