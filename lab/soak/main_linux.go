package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// options are what the command line asks for.
type options struct {
	rounds    int
	variants  []variant
	keepGoing bool
	out       string
	timeout   time.Duration
	allow     []string // in the working folder of the command
	ignore    []string // anywhere
}

const (
	exitGood   = 0
	exitBad    = 1
	exitUsage  = 2
	exitFailed = 3
)

func main() {
	if os.Args[0] == stageName {
		stageMain(os.Args[1:])
		os.Exit(exitFailed)
	}
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is the program. It returns its exit code.
func run(args []string, stdout, stderr io.Writer) int {
	o, command, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitGood
	case err != nil:
		fmt.Fprintf(stderr, "soak: %v\n", err)
		return exitUsage
	}
	// Orphans of the command become children of soak, and so stay known.
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		fmt.Fprintf(stderr, "soak: become a child subreaper: %v\n", err)
		return exitFailed
	}
	ctx, stopped := untilSignal()
	s, err := newSoak(o, command, stderr)
	if err != nil {
		fmt.Fprintf(stderr, "soak: %v\n", err)
		return exitUsage
	}
	defer s.close()

	tallies, skipped, err := s.all(ctx)
	signaled := stopped()
	if signaled != 0 && errors.Is(err, context.Canceled) {
		err = nil
	}
	err = errors.Join(err, s.endStrays())
	var table bytes.Buffer
	err = errors.Join(err, writeMarkdown(&table, command, tallies, skipped, signaled != 0))
	if _, writeErr := stdout.Write(table.Bytes()); writeErr != nil {
		err = errors.Join(err, fmt.Errorf("print the table: %w", writeErr))
	}
	if o.out != "" {
		err = errors.Join(err, writeWhole(o.out, table.Bytes()))
	}
	return exitCode(tallies, err, signaled, stderr)
}

func exitCode(tallies []*tally, err error, signaled syscall.Signal, stderr io.Writer) int {
	if err != nil {
		fmt.Fprintf(stderr, "soak: %v\n", err)
		return exitFailed
	}
	if signaled != 0 {
		return 128 + int(signaled)
	}
	for _, t := range tallies {
		if !t.good() {
			return exitBad
		}
	}
	return exitGood
}

// untilSignal gives a context that ends at the first SIGINT or SIGTERM, and a
// function that says which it was, 0 if there was none. The second ends soak at
// once, and with it, by Pdeathsig, what it started.
func untilSignal() (context.Context, func() syscall.Signal) {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, unix.SIGINT, unix.SIGTERM)
	go func() {
		received := <-signals
		signal.Stop(signals)
		cancel(signalError{received.(syscall.Signal)})
	}()
	return ctx, func() syscall.Signal {
		var by signalError
		if errors.As(context.Cause(ctx), &by) {
			return by.Signal
		}
		return 0
	}
}

// signalError is why a context ended: a signal came.
type signalError struct{ syscall.Signal }

func (e signalError) Error() string { return "stopped by " + e.Signal.String() }

// all runs the variants, and names those that were not reached because of a bad
// run, an error or the end of the context.
func (s *soak) all(ctx context.Context) (tallies []*tally, skipped []string, err error) {
	for i, v := range s.options.variants {
		t, err := s.soakVariant(ctx, v)
		tallies = append(tallies, t)
		if err != nil || (!t.good() && t.blocked == "" && !s.keepGoing) {
			for _, rest := range s.options.variants[i+1:] {
				skipped = append(skipped, rest.name)
			}
			return tallies, skipped, err
		}
	}
	return tallies, nil, nil
}

// parse reads the command line; what it returns as an error is for the user.
func parse(args []string, stderr io.Writer) (o options, command []string, err error) {
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.IntVar(&o.rounds, "n", 100, "runs of each variant")
	names := flags.String("variant", "plain", "variants, separated by commas, or all")
	flags.BoolVar(&o.keepGoing, "keep-going", false, "go on after a bad run")
	flags.StringVar(&o.out, "o", "", "write the table to this file, too")
	flags.DurationVar(&o.timeout, "timeout", 2*time.Minute, "how long one run may take")
	flags.Func("allow", "a folder or file that the command may write to in its working folder (repeatable)", func(path string) error {
		o.allow = append(o.allow, path)
		return nil
	})
	flags.Func("ignore", "a glob pattern of absolute paths that others write to meanwhile (repeatable)", func(pattern string) error {
		if _, err := filepath.Match(pattern, "/"); err != nil || !filepath.IsAbs(pattern) {
			return errors.New("want a glob pattern of an absolute path, such as '/tmp/go-build*'")
		}
		o.ignore = append(o.ignore, pattern)
		return nil
	})
	err = flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		usage(flags, stderr)
		return o, nil, err
	}
	if err != nil {
		return o, nil, err
	}
	if o.variants, err = selectVariants(*names); err != nil {
		return o, nil, err
	}
	switch command = flags.Args(); {
	case len(command) == 0:
		return o, nil, errors.New("no command: write soak [flags] -- ./loopcheck run --json --out ''")
	case o.rounds < 1:
		return o, nil, fmt.Errorf("-n %d: want 1 or more", o.rounds)
	case o.timeout <= 0:
		return o, nil, fmt.Errorf("-timeout %s: want a time above 0", o.timeout)
	}
	for _, path := range o.allow {
		if !filepath.IsLocal(path) {
			return o, nil, fmt.Errorf("-allow %s: want a path below the working folder", path)
		}
	}
	return o, command, nil
}

func usage(flags *flag.FlagSet, stderr io.Writer) {
	var b strings.Builder
	b.WriteString("usage: soak [flags] -- COMMAND [ARGUMENT…]\n\nThe command has to print a loopcheck report as JSON on stdout.\n\n")
	flags.SetOutput(&b)
	flags.PrintDefaults()
	b.WriteString("\nvariants:\n")
	for _, v := range variants {
		fmt.Fprintf(&b, "  %-14s %s\n", v.name, v.about)
	}
	fmt.Fprint(stderr, b.String())
}

// writeWhole writes a file under a temporary name and renames it, so that nobody
// sees half of it.
func writeWhole(path string, content []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-")
	if err != nil {
		return fmt.Errorf("write the table: %w", err)
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return fmt.Errorf("write the table: %w", err)
	}
	return nil
}
