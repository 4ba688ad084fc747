package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/harness/run"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// Exit codes, as documented in the man page.
const (
	exitOK          = 0
	exitFailed      = 1   // a check failed
	exitUsage       = 2   // the command line or the configuration is wrong
	exitHarness     = 3   // loopcheck itself failed, or nothing matched
	exitSignalled   = 128 // and the number of the signal
	exitInterrupted = exitSignalled + int(syscall.SIGINT)
	exitTerminated  = exitSignalled + int(syscall.SIGTERM)
)

// usageError is a mistake of the user's.
type usageError struct{ err error }

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &usageError{fmt.Errorf(format, args...)}
}

// codeError ends the program with a code and says nothing: what there was to
// say has been printed.
type codeError int

func (e codeError) Error() string { return fmt.Sprintf("exit %d", int(e)) }

// exitCode prints an error as one line and returns the code for it.
func (a *app) exitCode(err error) int {
	var code codeError
	var usage *usageError
	var nothing *run.NothingSelectedError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &code):
		return int(code)
	case ofClosedStdout(err):
		return exitOK
	}
	_, _ = fmt.Fprintf(a.stderr, "loopcheck: %s\n", oneLine(err))
	switch {
	case errors.As(err, &nothing):
		return exitHarness
	case errors.As(err, &usage), !a.parsed:
		return exitUsage
	}
	return exitHarness
}

// ofClosedStdout says whether an error is that of printing to a reader who has seen
// enough. A socket may end with EPIPE as well, and that is a failure: a benchmark
// does whose server is gone.
func ofClosedStdout(err error) bool {
	failed, ok := errors.AsType[*fs.PathError](err)
	return ok && failed.Path == os.Stdout.Name() && errors.Is(failed, syscall.EPIPE)
}

// ignoreClosedPipe drops the error of a reader who went away: the reports are
// written, and the exit code has to tell of them.
func ignoreClosedPipe(printErr error) error {
	if ofClosedStdout(printErr) {
		return nil
	}
	return printErr
}

// oneLine is an error as one line. It may hold names that somebody else chose.
func oneLine(err error) string {
	return terminal.Harmless(strings.Join(strings.Fields(err.Error()), " "))
}
