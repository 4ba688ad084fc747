// Command unchanged runs a command and says whether the machine is as it was
// before: its firewall rules, sysctls, links, addresses, routes, mounts and the
// files in /etc and /run, and whether a process, a namespace or a socket of the
// command is still there.
//
//	go run ./lab/unchanged -- make test
//
// The command has unchanged's own standard input and outputs. What is different
// afterwards stands on stderr, a line each. The exit code is the command's, or 1
// if that is 0 and something is different.
//
// Somebody else who changes the machine meanwhile is not told from the command.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/leftovers"
)

// markVariable is in the environment of all that the command starts.
const markVariable = "LOOPCHECK_LAB_UNCHANGED"

const exitUsage = 2

func main() {
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
	}
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "unchanged: no command: write `unchanged -- COMMAND [ARGUMENT…]`")
		os.Exit(exitUsage)
	}
	code, err := run(args)
	if err != nil {
		fmt.Fprintln(os.Stderr, "unchanged:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func run(args []string) (exit int, err error) {
	// Orphans come to this process, where they are found and collected.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 1, fmt.Errorf("become a child subreaper: %w", err)
	}
	mark := fmt.Sprintf("%s=%d", markVariable, os.Getpid())
	watch := leftovers.Watch{Root: os.Getpid(), Mark: mark, Folders: []leftovers.Folder{{Path: "/etc", Strict: true}, {Path: "/run"}}}
	ctx := context.Background()
	before, err := watch.Take(ctx)
	if err != nil {
		return 1, err
	}
	for _, line := range before.Unseen() {
		fmt.Fprintln(os.Stderr, "unchanged: not compared:", line)
	}
	// A Ctrl-C is for the command, which gets it from the terminal as well.
	signal.Ignore(os.Interrupt)
	command := exec.Command(args[0], args[1:]...)
	command.Env = append(os.Environ(), mark)
	command.Stdin, command.Stdout, command.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := command.Run(); err != nil {
		if !errors.As(err, new(*exec.ExitError)) {
			return 1, err
		}
		exit = exitCode(command.ProcessState)
	}
	_, differences, err := watch.Settle(ctx, before, reap)
	for _, d := range differences {
		fmt.Fprintln(os.Stderr, "unchanged:", d)
	}
	if len(differences) > 0 {
		exit = max(exit, 1)
	}
	return exit, err
}

// exitCode is the command's, as a shell tells it: 128 and the signal for one
// that was killed.
func exitCode(state *os.ProcessState) int {
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		return 128 + int(status.Signal())
	}
	return state.ExitCode()
}

// reap collects the orphans that this process has inherited.
func reap() {
	for {
		if pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); err != nil || pid <= 0 {
			return
		}
	}
}
