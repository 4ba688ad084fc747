package history

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

// Kept is the file in the reports folder that has what is told of each run, so that
// only reports that are new or were changed need to be read. It can be deleted at any
// time. Its name does not end in .json, for it is no report.
const Kept = ".runs"

const (
	// maxKeptBytes bounds what is taken into memory; a thousand runs are about 2 MB.
	maxKeptBytes = 64 << 20
	// settled is for how long a report has to be unchanged before what is told of it
	// is kept: a change right after it was read might leave the same time behind.
	settled = 2 * time.Second
)

// stamp tells a file from what it was before, and from another in its place.
type stamp struct {
	Size       int64  `json:"size"`
	ModifiedNS int64  `json:"modified_ns"`
	ChangedNS  int64  `json:"changed_ns"` // which nobody can set back; 0 where it is not known
	Inode      uint64 `json:"inode"`      // 0 where it is not known
}

func stampOf(info fs.FileInfo) stamp {
	s := stamp{Size: info.Size(), ModifiedNS: info.ModTime().UnixNano()}
	s.ChangedNS, s.Inode = identity(info)
	return s
}

// keptFile is the form of the file. What many runs have in common is there once.
type keptFile struct {
	// By is the program that wrote it: another may read reports in another way.
	By         string       `json:"by"`
	Checks     []CheckState `json:"checks"`
	Benchmarks []keptName   `json:"benchmarks"`
	Runs       []keptRun    `json:"runs"`
}

type keptName struct {
	Name         string `json:"name"`
	Inconclusive bool   `json:"inconclusive,omitempty"`
}

type keptRun struct {
	Stamp      stamp          `json:"stamp"`
	Folder     string         `json:"folder"`
	Machine    report.Machine `json:"machine"`
	Started    time.Time      `json:"started"`
	Kernel     string         `json:"kernel"`
	Tool       string         `json:"tool"`
	Verdict    check.State    `json:"verdict"`
	Sentence   string         `json:"sentence"`
	Checks     []int          `json:"checks"`     // places in Checks of the file
	Benchmarks []int          `json:"benchmarks"` // places in Benchmarks of the file
	MediansNS  []float64      `json:"medians_ns"` // of Benchmarks
}

// entry is a run with the stamp of the report that it was read from.
type entry struct {
	stamp
	*Run
}

// readKept is what is kept of runs, by their folders. Where there is nothing, or
// nothing that this program wrote, all reports are read.
func readKept(reports string) map[string]entry {
	file, err := ReadFile(filepath.Join(reports, Kept), decodeKept)
	if err != nil || file.By != program() || file.By == "" {
		return nil
	}
	return file.entries()
}

func decodeKept(from io.Reader) (*keptFile, error) {
	var f keptFile
	return &f, json.NewDecoder(io.LimitReader(from, maxKeptBytes)).Decode(&f)
}

// entries are the runs of which all is there.
func (file *keptFile) entries() map[string]entry {
	known := make(map[string]entry, len(file.Runs))
	for _, k := range file.Runs {
		if run, whole := k.run(file); whole {
			known[k.Folder] = entry{k.Stamp, run}
		}
	}
	return known
}

// run is false where places lead nowhere.
func (k keptRun) run(in *keptFile) (*Run, bool) {
	run := &Run{
		Folder: k.Folder, Machine: k.Machine, Started: k.Started, Kernel: k.Kernel, Tool: k.Tool, Verdict: k.Verdict, Sentence: k.Sentence,
		Checks: make([]CheckState, len(k.Checks)), Benchmarks: make([]Figure, len(k.Benchmarks)),
	}
	for i, at := range k.Checks {
		if at < 0 || at >= len(in.Checks) {
			return nil, false
		}
		run.Checks[i] = in.Checks[at]
	}
	if len(k.MediansNS) != len(k.Benchmarks) {
		return nil, false
	}
	for i, at := range k.Benchmarks {
		if at < 0 || at >= len(in.Benchmarks) {
			return nil, false
		}
		run.Benchmarks[i] = Figure{in.Benchmarks[at].Name, k.MediansNS[i], in.Benchmarks[at].Inconclusive}
	}
	return run, true
}

// keep writes what is told of runs whose reports have settled.
func keep(reports string, entries []entry, now time.Time) error {
	file := keptFile{By: program(), Checks: []CheckState{}, Benchmarks: []keptName{}, Runs: []keptRun{}}
	checks, names := map[CheckState]int{}, map[keptName]int{}
	for _, e := range entries {
		if !e.settled(now) {
			continue
		}
		k := keptRun{
			Stamp: e.stamp, Folder: e.Folder, Machine: e.Machine, Started: e.Started, Kernel: e.Kernel, Tool: e.Tool, Verdict: e.Verdict, Sentence: e.Sentence,
			Checks: make([]int, len(e.Checks)), Benchmarks: make([]int, len(e.Benchmarks)), MediansNS: make([]float64, len(e.Benchmarks)),
		}
		for i, c := range e.Checks {
			k.Checks[i] = place(checks, &file.Checks, c)
		}
		for i, b := range e.Benchmarks {
			k.Benchmarks[i], k.MediansNS[i] = place(names, &file.Benchmarks, keptName{b.Name, b.Inconclusive}), b.NS
		}
		file.Runs = append(file.Runs, k)
	}
	return folder.Write(filepath.Join(reports, Kept), func(w io.Writer) error { return json.NewEncoder(w).Encode(file) })
}

// settled says whether a report was unchanged for a while.
func (s stamp) settled(now time.Time) bool {
	return now.Sub(time.Unix(0, max(s.ModifiedNS, s.ChangedNS))) > settled
}

// place is where a value stands in a table that has each once.
func place[T comparable](known map[T]int, table *[]T, v T) int {
	at, there := known[v]
	if !there {
		at = len(*table)
		known[v] = at
		*table = append(*table, v)
	}
	return at
}

// program tells this build of loopcheck from others; it is empty where it cannot.
func program() string {
	path, err := os.Executable()
	if err != nil {
		return ""
	}
	info, err := os.Stat(path)
	if err != nil {
		return ""
	}
	revision := ""
	if build, ok := debug.ReadBuildInfo(); ok {
		revision = build.Main.Version
		for _, s := range build.Settings {
			if s.Key == "vcs.revision" {
				revision += " " + s.Value
			}
		}
	}
	return fmt.Sprintf("%s, %d bytes of %s", revision, info.Size(), info.ModTime().UTC().Format(time.RFC3339Nano))
}
