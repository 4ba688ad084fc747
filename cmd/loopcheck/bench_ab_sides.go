package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/ruleset"
)

// skippedError says that a loopcheck skipped a benchmark.
type skippedError struct{ reason string }

func (e *skippedError) Error() string { return e.reason }

// binaryOvertime is how long a loopcheck may take beyond the window that it
// measures: to start, to warm up, to write.
const binaryOvertime = 30 * time.Second

// binarySide is a benchmark that a loopcheck measures as a process of its own.
type binarySide struct {
	path       string
	spec       bench.Spec
	name       string
	processors []int
	window     time.Duration
}

func newBinarySide(path string, s bench.Spec, window time.Duration) (bench.Side, error) {
	side, err := bench.NewSide(s, window) // which finds its processors
	if err != nil {
		return nil, err
	}
	return &binarySide{path, s.WithDefaults(), side.Name(), side.Processors(), window}, nil
}

func (s *binarySide) Name() string { return s.name }

func (s *binarySide) Processors() []int { return s.processors }

// Restart has it measured once.
func (s *binarySide) Restart(ctx context.Context, _ int) (bench.Restart, error) {
	limit := s.window + binaryOvertime
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it took longer than %v", limit))
	defer cancel()
	cmd := exec.CommandContext(ctx, s.path, s.arguments()...)
	// What this one was set by is not meant for that one.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, "LOOPCHECK_") })
	var out bytes.Buffer
	var said process.Tail
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := runApart(cmd); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return bench.Restart{}, fmt.Errorf("%s: %w: %s", s.path, err, said.LastLine())
	}
	document, err := report.ReadDocument(&out)
	if err != nil {
		return bench.Restart{}, fmt.Errorf("%s: %w", s.path, err)
	}
	r, err := document.Measured()
	if err != nil {
		return bench.Restart{}, fmt.Errorf("%s: %w", s.path, err)
	}
	if len(r.Benchmarks) == 1 && r.Benchmarks[0].Skipped != "" {
		return bench.Restart{}, &skippedError{r.Benchmarks[0].Skipped}
	}
	if len(r.Benchmarks) != 1 || r.Benchmarks[0].Name != s.name || len(r.Benchmarks[0].Restarts) != 1 {
		return bench.Restart{}, fmt.Errorf("%s did not measure one restart of %s", s.path, s.name)
	}
	return r.Benchmarks[0].Restarts[0], nil
}

// arguments name what an older loopcheck may not know only where it is asked for.
func (s *binarySide) arguments() []string {
	args := []string{
		"bench", "--json", "--restarts", "1", "--window", s.window.String(),
		"--transport", s.spec.Transport, "--op", s.spec.Op, "--engine", s.spec.Engine,
		"--placement", string(s.spec.Placement), "--size", strconv.Itoa(s.spec.SizeBytes),
	}
	if s.spec.Flows > 1 {
		args = append(args, "--flows", strconv.Itoa(s.spec.Flows))
	}
	if s.spec.Outstanding > 0 {
		args = append(args, "--outstanding", strconv.Itoa(s.spec.Outstanding))
	}
	if s.spec.RateHz > 0 {
		args = append(args, "--rate", strconv.FormatFloat(s.spec.RateHz, 'f', -1, 64))
	}
	return args
}

// abPrepared is what the sides of every benchmark are made of.
type abPrepared struct {
	window   time.Duration
	binaries [2]string // empty where this process measures
	versions [2]string
	private  bool // in namespaces of their own
	rules    [2]*ruleset.File
	undoing  *undoing
}

// sides are those of one benchmark.
func (o *abOptions) sides(p *abPrepared, s bench.Spec) ([]bench.Side, error) {
	var sides []bench.Side
	for i, flag := range []string{"a", "b"} {
		var side bench.Side
		var err error
		switch {
		case p.private:
			side, err = bench.NewRuledSide(s, p.window, p.rules[i])
		case p.binaries[i] != "":
			side, err = newBinarySide(p.binaries[i], s, p.window)
		default:
			side, err = bench.NewSide(s, p.window)
		}
		if err != nil {
			return nil, err
		}
		if o.setup[i] != "" || o.undo[i] != "" {
			side = &commanded{Side: side, flag: flag, setup: o.setup[i], undo: o.undo[i], undoing: p.undoing}
		}
		sides = append(sides, side)
	}
	return sides, nil
}

// prepare reads rules and looks for the binary, before anything is measured.
func (o *abOptions) prepare(ctx context.Context, window time.Duration, undo *undoing) (*abPrepared, error) {
	p := &abPrepared{window: window, undoing: undo, versions: [2]string{tool().Version, tool().Version}}
	for i, name := range o.ruleFiles {
		if name == "" {
			continue
		}
		p.private = true
		f, err := readRulesFile(ctx, name)
		if err != nil {
			return nil, usagef("--rules-%c: %w", 'a'+rune(i), err)
		}
		p.rules[i] = &f
	}
	if o.binary == "" {
		return p, nil
	}
	// Both sides are processes then, so that only the binaries differ.
	own, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the file of this loopcheck: %w", err)
	}
	other, err := exec.LookPath(o.binary)
	if err != nil {
		return nil, usagef("--b-binary: %w", err)
	}
	p.binaries = [2]string{own, other}
	p.versions[1], err = versionOf(ctx, other)
	return p, err
}

// versionOf asks a binary for its version, which tells that it is a loopcheck.
func versionOf(ctx context.Context, path string) (string, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, binaryOvertime, fmt.Errorf("it took longer than %v", binaryOvertime))
	defer cancel()
	cmd := exec.CommandContext(ctx, path, "version", "--json")
	var out bytes.Buffer
	var said process.Tail
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := runApart(cmd); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return "", usagef("--b-binary %s: %w: %s", path, err, said.LastLine())
	}
	var other report.Tool
	if err := json.Unmarshal(out.Bytes(), &other); err != nil || other.Go == "" {
		return "", usagef("--b-binary %s is no loopcheck: `version --json` does not tell what built it", path)
	}
	return other.Version, nil
}
