package report

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// brief is the part of a report that tells runs and machines apart. To read it is
// several times as fast as to read all, which counts where there are a thousand.
type brief struct {
	SchemaVersion string        `json:"schema_version"`
	Tool          Tool          `json:"tool"`
	Started       time.Time     `json:"started"`
	Duration      time.Duration `json:"duration_ns"`
	Interrupted   bool          `json:"interrupted"`
	Host          struct {
		Hostname       string     `json:"hostname"`
		OS             string     `json:"os"`
		Kernel         string     `json:"kernel"`
		Arch           string     `json:"arch"`
		CPUs           []host.CPU `json:"cpus"`
		Virtualization string     `json:"virtualization"`
		Container      string     `json:"container"`
	} `json:"host"`
	Summary Summary       `json:"summary"`
	Suites  []check.Suite `json:"suites"`
	Checks  []struct {
		ID      string      `json:"id"`
		Suite   string      `json:"suite"`
		Title   string      `json:"title"`
		State   check.State `json:"state"`
		Message string      `json:"message"`
	} `json:"checks"`
	Benchmarks []struct {
		Name         string             `json:"name"`
		Count        int64              `json:"count"`
		Percentiles  map[string]float64 `json:"percentiles"`
		CI95         bench.Interval     `json:"ci95"`
		Inconclusive string             `json:"inconclusive"`
		Skipped      string             `json:"skipped"`
	} `json:"benchmarks"`
}

// ReadBrief reads of a report what tells runs and machines apart: when and on what
// it ran, the state and message of each check, the percentiles of each benchmark.
// All else stays empty. The errors are those of Read.
func ReadBrief(from io.Reader) (*Report, error) { return read(from, parseBrief) }

func parseBrief(document []byte) (*Report, error) {
	var b brief
	wrong := json.Unmarshal(document, &b)
	if wrong != nil || !slices.Contains(knownVersions, b.SchemaVersion) {
		// That it is of another version is said first, as Read does.
		if err := wrongVersion(document); err != nil {
			return nil, err
		}
		return nil, located(document, wrong)
	}
	if b.Checks == nil && b.Summary.Verdict == "" {
		return nil, errors.New("it has no checks, and so is not what a run wrote")
	}
	r := &Report{
		SchemaVersion: b.SchemaVersion, Tool: b.Tool, Started: b.Started, Duration: b.Duration, Interrupted: b.Interrupted,
		Host: host.Facts{
			Hostname: b.Host.Hostname, OS: b.Host.OS, Kernel: b.Host.Kernel, Arch: b.Host.Arch, CPUs: b.Host.CPUs,
			Virtualization: b.Host.Virtualization, Container: b.Host.Container,
		},
		Summary: b.Summary, Suites: b.Suites,
		Checks: make([]Check, len(b.Checks)), Benchmarks: make([]bench.Result, len(b.Benchmarks)),
	}
	for i, c := range b.Checks {
		r.Checks[i] = Check{ID: c.ID, Suite: c.Suite, Title: c.Title, State: c.State, Message: c.Message}
	}
	for i, m := range b.Benchmarks {
		r.Benchmarks[i] = bench.Result{
			Name: m.Name, Count: m.Count, Percentiles: m.Percentiles, CI95: m.CI95, Inconclusive: m.Inconclusive, Skipped: m.Skipped,
		}
	}
	return validated(r)
}

// Machine tells machines apart whose runs belong together. The kernel is not of it:
// a change of it is one of the things to see.
type Machine struct {
	Hostname       string `json:"hostname"`
	CPU            string `json:"cpu"` // the processors, by number and model
	Virtualization string `json:"virtualization"`
	Container      string `json:"container"`
}

// Machine is the one that was run on. Its strings are fit to be shown.
func (r *Report) Machine() Machine {
	shown := func(s string) string { return terminal.Shorten(oneLine(terminal.Harmless(s)), 200) }
	return Machine{
		Hostname: shown(r.Host.Hostname), CPU: shown(processors(r.Host.CPUs)),
		Virtualization: shown(r.Host.Virtualization), Container: shown(r.Host.Container),
	}
}

// String is its name and what it is.
func (m Machine) String() string {
	parts := []string{m.Hostname, m.CPU, m.Virtualization, m.Container}
	return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " · ")
}
