package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/loopcheck/loopcheck/lab/faults"
	"github.com/loopcheck/loopcheck/lab/report"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

const (
	// trialTimeout bounds a trial: two runs of loopcheck and all around them.
	trialTimeout = wholeTimeout + time.Minute
	// listTimeout bounds `loopcheck list`.
	listTimeout = 10 * time.Second
)

// lab asks one loopcheck.
type lab struct {
	binary string
	known  []knownCheck
	log    io.Writer
	// trials is held by each trial, alone by one that has to be quiet.
	trials sync.RWMutex
}

// knownCheck is what loopcheck says of a check that it has.
type knownCheck struct {
	ID    string `json:"id"`
	Suite string `json:"suite"`
}

func newLab(ctx context.Context, binary string, log io.Writer) (*lab, error) {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	text, err := exec.CommandContext(ctx, binary, "list", "--json").Output()
	if err != nil {
		return nil, fmt.Errorf("%s list --json: %w", binary, err)
	}
	l := &lab{binary: binary, log: log}
	if err := json.Unmarshal(text, &l.known); err != nil {
		return nil, fmt.Errorf("%s list --json: %w", binary, err)
	}
	return l, nil
}

// outcome is what came of one fault.
type outcome struct {
	faults.Fault
	finding
	// Missing is what the injection takes and this machine lacks.
	Missing string
	// Err says that it could not be injected.
	Err error
	// Mended says that the remedies brought back what was there, and no more.
	Mended bool
	// Why says what was otherwise than it has to be.
	Why  []string
	Took time.Duration
}

// clean is what came of one run on a stack in order.
type clean struct {
	faults.Variant
	Missing string
	Err     error
	Alarms  []string
	Took    time.Duration
}

// filter is a label filter for the checks that can notice a fault; empty where
// loopcheck has none of them.
func (l *lab) filter(f faults.Fault) string {
	var terms []string
	add := func(term string) {
		if !slices.Contains(terms, term) {
			terms = append(terms, term)
		}
	}
	for _, k := range l.known {
		asked := slices.ContainsFunc(f.Ask, func(term string) bool { return term == k.ID || term == k.Suite })
		wanted := slices.ContainsFunc(f.Flagged, func(id string) bool { return matches(k.ID, id) })
		// The suite of a check goes by the letters before its number.
		if len(f.Ask) == 0 {
			letters, _, _ := strings.Cut(k.ID, "-")
			asked = slices.ContainsFunc(f.Flagged, func(id string) bool { return strings.HasPrefix(id, letters+"-") })
		}
		if asked || wanted && !slices.ContainsFunc(f.Flagged, func(id string) bool { return strings.HasSuffix(id, "*") }) {
			add(k.ID)
		}
	}
	return strings.Join(terms, " || ")
}

func (l *lab) command(filter string) []string {
	command := []string{l.binary, "run", "--json", "--out", ""}
	if filter != "" {
		command = append(command, "--label-filter", filter)
	}
	return command
}

// tools are the programs that most faults are injected and looked at with.
var tools = []string{"sh", "ip", "nft", "tc", "sysctl"}

// lacks names the first program that is not installed, of these and the tools.
func lacks(programs []string) string {
	for _, p := range slices.Concat(tools, programs) {
		if _, err := exec.LookPath(p); err != nil {
			return p + " is not installed"
		}
	}
	return ""
}

// ask injects a fault and sees what loopcheck says. With everything it runs all
// checks, and not only those that can notice it.
func (l *lab) ask(ctx context.Context, f faults.Fault, everything bool) outcome {
	o := outcome{Fault: f, Missing: lacks(f.Needs)}
	if f.RealRoot && os.Geteuid() != 0 {
		o.Missing = "real root"
	}
	if o.Missing != "" {
		return o
	}
	t := trial{World: f.World, Damage: f.Damage, Machine: f.Machine, Process: f.Process, RealRoot: f.RealRoot, Quiet: f.Quiet, Limit: runTimeout, Mend: !everything && f.NoRemedy == ""}
	filter := l.filter(f)
	if filter != "" || everything {
		t.Command = l.command(filter)
		if everything {
			t.Command, t.Limit = l.command(""), wholeTimeout
		}
	}
	started := time.Now()
	seen, err := l.run(ctx, t, idsOf(f.Process))
	o.Took = time.Since(started)
	if errors.As(err, new(*missingError)) {
		o.Missing = err.Error()
		return o
	}
	if o.Err = err; err == nil && len(seen.Changed) == 0 && (len(f.Damage) > 0 || f.Machine.Relay != nil || f.Machine.Hold != nil) {
		o.Err = errors.New("the damage shows nowhere")
	}
	if o.Err != nil {
		return o
	}
	if t.Command == nil {
		o.Why = []string{"loopcheck has no check that could notice it"}
		return o
	}
	o.judge(seen)
	return o
}

func (o *outcome) judge(seen observation) {
	r, err := report.Decode(strings.NewReader(seen.Output))
	if err != nil {
		o.Why = []string{err.Error() + ": " + seen.Errors}
		return
	}
	o.finding = judge(o.Fault, r)
	switch {
	case !o.Noticed:
		o.Why = append(o.Why, "not flagged by "+strings.Join(o.Fault.Flagged, ", "))
	case !o.Named:
		var named []string
		for _, c := range causesOf(r) {
			named = append(named, c.ID)
		}
		o.Why = append(o.Why, "named instead: "+strings.Join(named, ", "))
	}
	if !o.Named || o.NoRemedy != "" {
		return
	}
	o.Mended = len(seen.Remedies) > 0 && len(seen.Refused) == 0 && len(seen.Left) == 0
	if o.Mended && (o.Process.Any() || o.Machine.Cgroup != nil) {
		again, err := report.Decode(strings.NewReader(seen.Again))
		o.Mended = err == nil
		for _, id := range o.Fault.Flagged {
			o.Mended = o.Mended && !flagged(again, id, o.Unaskable)
		}
	}
	if !o.Mended {
		o.Why = append(o.Why, fmt.Sprintf("not mended by %q", seen.Remedies))
		o.Why = append(append(o.Why, seen.Refused...), seen.Left...)
		if seen.AgainErrors != "" {
			o.Why = append(o.Why, "the run after them: "+seen.AgainErrors)
		}
	}
}

// check runs everything on a stack in order.
func (l *lab) check(ctx context.Context, v faults.Variant) clean {
	c := clean{Variant: v, Missing: lacks(v.Needs)}
	if c.Missing != "" {
		return c
	}
	started := time.Now()
	seen, err := l.run(ctx, trial{World: v.World, Process: v.Process, Command: l.command(""), Limit: wholeTimeout}, max(v.IDs, idsOf(v.Process)))
	c.Took = time.Since(started)
	if errors.As(err, new(*missingError)) {
		c.Missing = err.Error()
		return c
	}
	if c.Err = err; err != nil {
		return c
	}
	r, err := report.Decode(strings.NewReader(seen.Output))
	if err != nil {
		c.Alarms = []string{err.Error() + ": " + seen.Errors}
		return c
	}
	c.Alarms = alarms(r)
	return c
}

// missingError says that this machine does not give what a trial takes.
type missingError struct{ what string }

func (e *missingError) Error() string { return e.what }

// idsOf is how many user IDs a process needs that becomes user 1000.
func idsOf(p faults.Process) int {
	if strings.HasPrefix(p.Wrap, "setpriv --reuid=1000") {
		return 1001
	}
	return 1
}

// run does a trial in namespaces of its own.
func (l *lab) run(ctx context.Context, t trial, ids int) (observation, error) {
	if t.Quiet {
		l.trials.Lock()
		defer l.trials.Unlock()
	} else {
		l.trials.RLock()
		defer l.trials.RUnlock()
	}
	ctx, cancel := context.WithTimeout(ctx, trialTimeout)
	defer cancel()
	if t.RealRoot {
		return tryAsRoot(ctx, t)
	}
	s, err := sandbox.Start(ctx, sandbox.Config{})
	if refused := (*sandbox.RefusedError)(nil); errors.As(err, &refused) {
		return observation{}, &missingError{refused.Error()}
	}
	if err != nil {
		return observation{}, err
	}
	if s.Facts().IDs < ids {
		return observation{}, errors.Join(s.Close(), &missingError{"user IDs in a namespace, which takes root"})
	}
	seen, err := try.Call(ctx, s, "", t)
	return seen, errors.Join(err, s.Close())
}

// each runs f for every number below n, so many at once, until the context ends.
func each(ctx context.Context, n, atOnce int, f func(int)) {
	var group sync.WaitGroup
	next := make(chan int)
	for range atOnce {
		group.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		select {
		case next <- i:
		case <-ctx.Done():
		}
	}
	close(next)
	group.Wait()
}
