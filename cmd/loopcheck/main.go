// Command loopcheck verifies a machine's loopback stack and writes a report.
//
// Each subcommand has a file of its own here, which parses, calls and prints;
// what it does lives in the packages it calls.
package main

import (
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func main() {
	holdMain()
	bench.Main() // before sandbox.Main, for what measures in a sandbox
	sandbox.Main()
	// With a listener, a write to a closed pipe returns EPIPE in the place of
	// killing the process, so that reports are finished when `| head` is.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(execute(os.Args[1:], os.Stdout, os.Stderr))
}

// execute runs one command line and returns the exit code.
func execute(args []string, stdout, stderr io.Writer) int {
	a := &app{stdout: stdout, stderr: stderr}
	root := newRoot(a)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	return a.exitCode(root.Execute())
}
