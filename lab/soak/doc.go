// Command soak runs a command many times, under conditions that a user may
// meet, and proves that it never fails falsely and leaves nothing behind.
//
//	go run ./lab/soak -n 100 -variant all -keep-going -- ./loopcheck run --json --out ''
//
// The command has to print a loopcheck report as JSON on its standard output.
// It is copied to and started in a temporary folder, with HOME and TMPDIR of
// its own, so that an ordinary user can run it and every file it leaves there
// is known to be its own. Between every two runs the state of the machine is
// compared (see package leftovers).
//
// A Markdown table is printed at the end. The exit code is 0 if every run was
// good, 1 if a run failed, something was left behind or a variant could not be
// run here, 2 for a mistake in the command line, 3 if soak itself failed, 130
// and 143 after SIGINT and SIGTERM, with the table of what was run so far.
package main
