// Package history answers what became of a machine over many runs: it reads the
// reports in a folder, finds where the level of a benchmark or the state of a check
// changed, and writes one page of them. The report.json files are all it needs, so
// the page can be made again at any time. What is kept of them beside (Kept) saves
// time and is never believed over them.
package history

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// History is the runs whose reports are in one folder.
type History struct {
	Runs       []*Run // oldest first
	Unreadable []Unreadable

	entries []entry // of Runs
	stale   bool    // what is kept of them
}

// Run is what is told of one of them. Its strings are as the report has them, but for
// those of Machine, which are fit to be shown.
type Run struct {
	Folder     string // its name in the reports folder
	Machine    report.Machine
	Started    time.Time
	Kernel     string
	Tool       string // its version
	Verdict    check.State
	Sentence   string
	Checks     []CheckState
	Benchmarks []Figure
}

// CheckState is what came of a check.
type CheckState struct {
	ID    string      `json:"id"`
	Title string      `json:"title"`
	State check.State `json:"state"`
}

// Figure is the median of a benchmark.
type Figure struct {
	Name         string
	NS           float64
	Inconclusive bool // it is not to be trusted
}

// runOf is what is told of a report.
func runOf(name string, r *report.Report) *Run {
	run := &Run{
		Folder: name, Machine: r.Machine(), Started: r.Started, Kernel: r.Host.Kernel, Tool: r.Tool.Version,
		Verdict: r.Summary.Verdict, Sentence: r.Sentence(), Checks: make([]CheckState, len(r.Checks)),
	}
	for i, c := range r.Checks {
		run.Checks[i] = CheckState{c.ID, c.Title, c.State}
	}
	for _, b := range r.Benchmarks {
		if p50, given := b.Percentiles["p50_ns"]; given && b.Skipped == "" {
			run.Benchmarks = append(run.Benchmarks, Figure{b.Name, p50, b.Inconclusive != ""})
		}
	}
	return run
}

// Unreadable is a report that is damaged, foreign or of another version.
type Unreadable struct {
	Path   string
	Reason string // one line
}

// Load reads the report.json of each folder in a reports folder, or what is kept of
// it where it is unchanged. Links are passed over, since "latest" is one, and so are
// folders that hold no run. It gives an error only where the reports folder cannot be
// read.
func Load(reports string) (*History, error) {
	entries, err := os.ReadDir(reports)
	if err != nil {
		return nil, err
	}
	known := readKept(reports)
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() })
	loaded := make([]entry, len(entries))
	errs := make([]error, len(entries))
	next := make(chan int)
	var readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			for i := range next {
				name := entries[i].Name()
				loaded[i], errs[i] = readRun(reports, name, known[name])
			}
		})
	}
	for i := range entries {
		next <- i
	}
	close(next)
	readers.Wait()

	var h History
	for i, one := range loaded {
		switch {
		case errs[i] != nil:
			h.Unreadable = append(h.Unreadable, Unreadable{
				Path:   terminal.Harmless(filepath.Join(entries[i].Name(), folder.JSON)),
				Reason: terminal.Harmless(strings.ReplaceAll(errs[i].Error(), "\n", " ")),
			})
		case one.Run != nil:
			h.entries = append(h.entries, one)
			h.stale = h.stale || known[one.Folder].Run != one.Run
		}
	}
	h.stale = h.stale || len(h.entries) != len(known)
	slices.SortStableFunc(h.entries, func(a, b entry) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Folder, b.Folder))
	})
	for _, one := range h.entries {
		h.Runs = append(h.Runs, one.Run)
	}
	return &h, nil
}

// readRun reads the report in a folder, or takes what is known of it where it is the
// same; there is no Run where there is none in the folder.
func readRun(reports, name string, known entry) (entry, error) {
	path := filepath.Join(reports, name, folder.JSON)
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(reports, name, folder.Journal)); err == nil {
			return entry{}, errors.New("the run is not over, or was killed: `loopcheck report render` makes a report of its " + folder.Journal)
		}
		return entry{}, nil
	}
	if err != nil {
		return entry{}, err
	}
	// Looked at before it is read: what is changed meanwhile is read again next time.
	now := stampOf(info)
	if known.Run != nil && known.stamp == now {
		return known, nil
	}
	r, err := ReadFile(path, report.ReadBrief)
	if err != nil {
		return entry{}, err
	}
	return entry{now, runOf(name, r)}, nil
}

// ReadFile reads what is in a file by one of the readers of package report. What is
// no regular file is refused: to open a pipe could take for ever.
func ReadFile[T any](path string, read func(io.Reader) (*T, error)) (*T, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read report: it is no regular file but %s", info.Mode().Type())
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return read(f)
}

// machines are those that were run on, that of the newest run first.
func (h *History) machines() []report.Machine {
	var machines []report.Machine
	for _, run := range slices.Backward(h.Runs) {
		if !slices.Contains(machines, run.Machine) {
			machines = append(machines, run.Machine)
		}
	}
	return machines
}
