// Package history answers what became of a machine over many runs: it reads the
// reports in a folder, finds where the level of a benchmark or the state of a check
// changed, and writes one page of them. The report.json files are all it needs, so
// the page can be made again at any time.
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

	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// History is the runs whose reports are in one folder.
type History struct {
	Runs       []Run // oldest first
	Unreadable []Unreadable
}

// Run is one of them. Of its report only the part that ReadBrief reads is filled.
type Run struct {
	Folder string // its name in the reports folder
	*report.Report
}

// Unreadable is a report that is damaged, foreign or of another version.
type Unreadable struct {
	Path   string
	Reason string // one line
}

// Load reads the report.json of each folder in a reports folder. Links are passed
// over, since "latest" is one, and so are folders that hold no run. It gives an
// error only where the reports folder cannot be read.
func Load(reports string) (*History, error) {
	entries, err := os.ReadDir(reports)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, func(e fs.DirEntry) bool { return !e.IsDir() })
	loaded := make([]Run, len(entries))
	errs := make([]error, len(entries))
	next := make(chan int)
	var readers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		readers.Go(func() {
			for i := range next {
				name := entries[i].Name()
				loaded[i].Folder = name
				loaded[i].Report, errs[i] = readRun(filepath.Join(reports, name))
			}
		})
	}
	for i := range entries {
		next <- i
	}
	close(next)
	readers.Wait()

	var h History
	for i, run := range loaded {
		switch {
		case errs[i] != nil:
			h.Unreadable = append(h.Unreadable, Unreadable{
				Path:   terminal.Harmless(filepath.Join(run.Folder, folder.JSON)),
				Reason: terminal.Harmless(strings.ReplaceAll(errs[i].Error(), "\n", " ")),
			})
		case run.Report != nil:
			h.Runs = append(h.Runs, run)
		}
	}
	slices.SortStableFunc(h.Runs, func(a, b Run) int {
		return cmp.Or(a.Started.Compare(b.Started), cmp.Compare(a.Folder, b.Folder))
	})
	return &h, nil
}

// readRun reads the report in a folder; nil where there is no run in it.
func readRun(dir string) (*report.Report, error) {
	r, err := ReadFile(filepath.Join(dir, folder.JSON), report.ReadBrief)
	if !errors.Is(err, fs.ErrNotExist) {
		return r, err
	}
	if _, err := os.Stat(filepath.Join(dir, folder.Journal)); err == nil {
		return nil, errors.New("the run is not over, or was killed: `loopcheck report render` makes a report of its " + folder.Journal)
	}
	return nil, nil
}

// ReadFile reads the report in a file by one of the readers of package report. What
// is no regular file is refused: to open a pipe could take for ever.
func ReadFile(path string, read func(io.Reader) (*report.Report, error)) (*report.Report, error) {
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
		if m := run.Machine(); !slices.Contains(machines, m) {
			machines = append(machines, m)
		}
	}
	return machines
}
