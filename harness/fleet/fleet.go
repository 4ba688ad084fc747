// Package fleet answers where machines differ: it joins the reports of many into
// one view of which checks fail on which of them, and which of them are slow.
package fleet

import (
	"cmp"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/history"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// SchemaVersion is that of docs/merge.schema.json.
const SchemaVersion = "1"

// Fleet is what the reports of many machines say together. Its strings are fit to
// be shown. The JSON form, described by docs/merge.schema.json, is what `loopcheck
// report merge --json` prints.
type Fleet struct {
	SchemaVersion string `json:"schema_version"`

	Machines   []Machine    `json:"machines"` // by kernel, CPU and name
	Groups     []Group      `json:"groups"`
	Checks     []Check      `json:"checks"` // those that differ, fail or warn
	Agreed     int          `json:"agreed"` // checks that are not listed: all machines agree
	Benchmarks []Benchmark  `json:"benchmarks"`
	Unreadable []Unreadable `json:"unreadable"`
	// Older counts the reports that are not used, since a machine has a newer one.
	Older int `json:"older"`
}

// Machine is one of them, by its newest report.
type Machine struct {
	report.Machine
	Name     string         `json:"name"` // the host name, with a number where several have it
	OS       string         `json:"os"`
	Kernel   string         `json:"kernel"`
	Started  time.Time      `json:"started"`
	Path     string         `json:"path"` // of the report
	Sentence string         `json:"sentence"`
	Summary  report.Summary `json:"summary"`

	report *report.Report
}

// Group is the machines with one kernel and one kind of processor.
type Group struct {
	Kernel   string   `json:"kernel"`
	CPU      string   `json:"cpu"`
	Machines []string `json:"machines"`
	Failed   []string `json:"failed"` // IDs of checks that fail on each of them
}

// Unreadable is a file that holds no report.
type Unreadable struct {
	Path   string `json:"path"`
	Reason string `json:"reason"`
}

// Load reads the reports in files and folders and joins them. A folder stands for
// every file in it and below it that ends in .json; links in it are passed over, and
// so are the baselines of a reports folder. Of a machine with several reports the
// newest counts. What is no report, or cannot be read, is listed. The error is of a
// path that is not there or that cannot be read itself.
func Load(paths []string) (*Fleet, error) {
	f := &Fleet{
		SchemaVersion: SchemaVersion, Machines: []Machine{}, Groups: []Group{}, Checks: []Check{}, Benchmarks: []Benchmark{}, Unreadable: []Unreadable{},
	}
	newest := map[report.Machine]Machine{}
	seen := map[string]bool{}
	for _, path := range paths {
		files, shut, err := filesOf(path)
		if err != nil {
			return nil, err
		}
		f.Unreadable = append(f.Unreadable, shut...)
		for _, file := range files {
			if seen[file] {
				continue
			}
			seen[file] = true
			r, err := history.ReadFile(file, report.ReadBrief)
			if err != nil {
				f.Unreadable = append(f.Unreadable, Unreadable{shown(file), shown(err.Error())})
				continue
			}
			m := machineOf(r, file)
			if known, twice := newest[m.Machine]; twice {
				f.Older++
				if !m.Started.After(known.Started) {
					continue
				}
			}
			newest[m.Machine] = m
		}
	}
	for _, m := range newest {
		f.Machines = append(f.Machines, m)
	}
	slices.SortFunc(f.Machines, func(a, b Machine) int {
		return cmp.Or(cmp.Compare(a.Kernel, b.Kernel), cmp.Compare(a.CPU, b.CPU), cmp.Compare(a.Hostname, b.Hostname), cmp.Compare(a.Path, b.Path))
	})
	nameApart(f.Machines)
	f.compareChecks()
	f.group()
	f.judgeBenchmarks()
	return f, nil
}

// filesOf are the files that a path stands for, links in it resolved, and the
// folders in it that cannot be read.
func filesOf(path string) (files []string, shut []Unreadable, err error) {
	real, err := filepath.EvalSymlinks(path)
	if err != nil {
		return nil, nil, err
	}
	err = filepath.WalkDir(real, func(file string, entry fs.DirEntry, err error) error {
		inFolder := file != real
		switch {
		case err != nil && inFolder:
			shut = append(shut, Unreadable{shown(file), shown(err.Error())})
			if entry == nil || !entry.IsDir() {
				return nil
			}
			return fs.SkipDir
		case err != nil:
			return err
		case inFolder && entry.IsDir() && entry.Name() == folder.Baselines:
			return fs.SkipDir
		}
		if !inFolder && !entry.IsDir() || inFolder && entry.Type().IsRegular() && filepath.Ext(file) == ".json" && entry.Name() != folder.Comparison {
			files = append(files, file)
		}
		return nil
	})
	return files, shut, err
}

// shown is a string of unknown origin on one line.
func shown(s string) string { return strings.ReplaceAll(terminal.Harmless(s), "\n", " ") }

func machineOf(r *report.Report, path string) Machine {
	return Machine{
		Machine: r.Machine(), OS: shown(r.Host.OS), Kernel: shown(r.Host.Kernel),
		Started: r.Started.UTC(), Path: shown(path), Sentence: shown(r.Sentence()), Summary: r.Summary, report: r,
	}
}

// nameApart gives machines of one host name numbers.
func nameApart(machines []Machine) {
	count := map[string]int{}
	for i := range machines {
		m := &machines[i]
		m.Name = cmp.Or(m.Hostname, "unnamed")
		count[m.Name]++
		if n := count[m.Name]; n > 1 {
			m.Name = fmt.Sprintf("%s #%d", m.Name, n)
		}
	}
}

// group puts the machines, which are sorted by kernel and processor, together.
func (f *Fleet) group() {
	for _, m := range f.Machines {
		last := len(f.Groups) - 1
		if last < 0 || f.Groups[last].Kernel != m.Kernel || f.Groups[last].CPU != m.CPU {
			f.Groups = append(f.Groups, Group{Kernel: m.Kernel, CPU: m.CPU, Machines: []string{}, Failed: []string{}})
			last++
		}
		f.Groups[last].Machines = append(f.Groups[last].Machines, m.Name)
	}
	first := 0
	for i, g := range f.Groups {
		for _, c := range f.Checks {
			states := c.States[first : first+len(g.Machines)]
			if !slices.ContainsFunc(states, func(s check.State) bool { return s != check.Fail }) {
				f.Groups[i].Failed = append(f.Groups[i].Failed, c.ID)
			}
		}
		first += len(g.Machines)
	}
}

// Sentence is what came out, in one sentence.
func (f *Fleet) Sentence() string {
	outliers := 0
	for _, b := range f.Benchmarks {
		outliers += len(b.Outliers)
	}
	failing := 0
	for _, m := range f.Machines {
		if m.Summary.Failed > 0 {
			failing++
		}
	}
	return fmt.Sprintf("Failed checks on %d of %s; %s to look at; %s among the benchmarks.",
		failing, counted(len(f.Machines), "machine"), counted(len(f.Checks), "check"), counted(outliers, "outlier"))
}
