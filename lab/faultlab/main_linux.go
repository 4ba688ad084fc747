package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/lab/faults"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func main() {
	become()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code, err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faultlab:", err)
	}
	os.Exit(code)
}

// become makes this process what it was started as, and returns where that is
// faultlab itself.
func become() {
	sandbox.Main()
	var err error
	switch os.Args[0] {
	case stageName:
		err = stageMain(os.Args[1:])
	case childName:
		err = childMain()
	default:
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, os.Args[0]+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// options are what the caller chose.
type options struct {
	faults, variants bool
	only             *regexp.Regexp
	rounds           int
	atOnce           int
	sample           int
	out              string
	verbose          bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (int, error) {
	o := options{}
	flags := flag.NewFlagSet("faultlab", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.BoolVar(&o.faults, "faults", true, "inject faults")
	flags.BoolVar(&o.variants, "variants", true, "run on stacks that are in order")
	only := flags.String("run", "", "only the faults and variants whose names match this regular `expression`")
	flags.IntVar(&o.rounds, "n", 1, "run each variant so many `times`")
	flags.IntVar(&o.atOnce, "at-once", 2*runtime.NumCPU(), "how many `trials` run at the same time")
	flags.IntVar(&o.sample, "sample", 0, "ask every so manieth fault again with all checks, and compare")
	flags.StringVar(&o.out, "o", "", "write the page to this `file`")
	flags.BoolVar(&o.verbose, "v", false, "say of each fault what was otherwise than it has to be")
	if err := flags.Parse(args); err != nil {
		return 2, nil // flag has said what is wrong
	}
	var err error
	if o.only, err = regexp.Compile(*only); err != nil {
		return 2, fmt.Errorf("-run: %w", err)
	}
	if flags.NArg() != 1 || o.rounds < 1 || o.atOnce < 1 {
		return 2, errors.New("write the path of one loopcheck, and numbers above 0: faultlab [flags] bin/loopcheck")
	}
	binary, err := exec.LookPath(flags.Arg(0))
	if err == nil {
		binary, err = filepath.Abs(binary)
	}
	if err != nil {
		return 2, err
	}
	l, err := newLab(ctx, binary, stderr)
	if err != nil {
		return 2, err
	}
	p := l.measure(ctx, o)
	if ctx.Err() != nil {
		return 130, errors.New("interrupted: nothing is written")
	}
	if err := p.publish(o.out, stdout); err != nil {
		return 1, err
	}
	if !p.sound() {
		return 1, errors.New("a fault could not be injected, or a stack in order was flagged")
	}
	return 0, nil
}

// measure does all that was chosen.
func (l *lab) measure(ctx context.Context, o options) page {
	p := page{started: time.Now(), rounds: o.rounds}
	if o.faults {
		var chosen []faults.Fault
		for _, f := range faults.All() {
			if o.only.MatchString(f.Name) {
				chosen = append(chosen, f)
			}
		}
		p.outcomes = l.inject(ctx, o, chosen, false)
		if o.sample > 0 {
			p.sample(l.inject(ctx, o, everyNth(chosen, o.sample), true))
		}
	}
	if o.variants {
		var chosen []faults.Variant
		for range o.rounds {
			for _, v := range faults.Variants() {
				if o.only.MatchString(v.Name) {
					chosen = append(chosen, v)
				}
			}
		}
		p.cleans = make([]clean, len(chosen))
		var saying sync.Mutex
		each(ctx, len(chosen), max(1, o.atOnce/2), func(i int) {
			c := l.check(ctx, chosen[i])
			p.cleans[i] = c
			saying.Lock()
			defer saying.Unlock()
			fmt.Fprintf(l.log, "%-28s %5.1fs  %s\n", c.Name, c.Took.Seconds(), c.verdict())
		})
	}
	p.took = time.Since(p.started)
	return p
}

func everyNth(list []faults.Fault, n int) []faults.Fault {
	var chosen []faults.Fault
	for i := n - 1; i < len(list); i += n {
		chosen = append(chosen, list[i])
	}
	return chosen
}

func (l *lab) inject(ctx context.Context, o options, chosen []faults.Fault, everything bool) []outcome {
	outcomes := make([]outcome, len(chosen))
	var saying sync.Mutex
	each(ctx, len(chosen), o.atOnce, func(i int) {
		outcomes[i] = l.ask(ctx, chosen[i], everything)
		saying.Lock()
		defer saying.Unlock()
		r := outcomes[i]
		fmt.Fprintf(l.log, "%-28s %5.1fs  %s\n", r.Name, r.Took.Seconds(), r.verdict())
		if o.verbose {
			for _, why := range r.Why {
				fmt.Fprintf(l.log, "    %s\n", why)
			}
			if len(r.Unexpected) > 0 {
				fmt.Fprintf(l.log, "    also named: %q\n", r.Unexpected)
			}
		}
	})
	return outcomes
}
