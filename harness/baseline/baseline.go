// Package baseline keeps reports under a name, to compare later runs with: a file
// each in the folder baselines of the reports folder, as it was written by the run.
package baseline

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/compare"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

// extension is that of the files, after their names.
const extension = ".json"

// allowed is what a name may be: no path, no hidden file.
var allowed = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// NameError says that a name is none of a baseline.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("%q is no name of a baseline: write 1 to 64 letters, digits, dots, dashes or underscores, the first a letter or digit", e.Name)
}

// UnknownError says that there is no baseline of a name.
type UnknownError struct {
	Name string
	// Known are the names that there are.
	Known []string
}

func (e *UnknownError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("there is no baseline %q, nor any other: `loopcheck baseline save %s` makes it", e.Name, e.Name)
	}
	return fmt.Sprintf("there is no baseline %q: there are %s", e.Name, strings.Join(e.Known, ", "))
}

// ExistsError says that a baseline of the name is there.
type ExistsError struct{ Name string }

func (e *ExistsError) Error() string { return fmt.Sprintf("there is a baseline %q already", e.Name) }

// Path is the file of a baseline. It fails with a *NameError.
func Path(reports, name string) (string, error) {
	if !allowed.MatchString(name) {
		return "", &NameError{name}
	}
	return filepath.Join(reports, folder.Baselines, name+extension), nil
}

// Load reads a baseline. It fails with a *NameError, an *UnknownError, or because
// the file is no report.
func Load(reports, name string) (*report.Report, error) {
	path, err := Path(reports, name)
	if err != nil {
		return nil, err
	}
	r, err := compare.Load(path)
	if errors.Is(err, fs.ErrNotExist) {
		known, _ := names(reports)
		return nil, &UnknownError{name, known}
	}
	return r, err
}

// Save keeps a report: the file, or the report of a run's folder, as it is. It fails
// with a *NameError, with an *ExistsError unless it may replace, and where the file
// is no report.
func Save(reports, name, from string, replace bool) (path string, err error) {
	if path, err = Path(reports, name); err != nil {
		return "", err
	}
	if _, err := os.Lstat(path); err == nil && !replace {
		return "", &ExistsError{name}
	}
	if info, err := os.Stat(from); err == nil && info.IsDir() {
		from = filepath.Join(from, folder.JSON)
	}
	if _, err := compare.Load(from); err != nil {
		return "", err
	}
	document, err := os.ReadFile(from)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", err
	}
	return path, folder.Write(path, func(w io.Writer) error {
		_, err := io.Copy(w, bytes.NewReader(document))
		return err
	})
}

// Baseline is what is told of one.
type Baseline struct {
	Name       string    `json:"name"`
	Path       string    `json:"path"`
	Hostname   string    `json:"hostname"`
	Started    time.Time `json:"started"` // UTC
	Version    string    `json:"version"` // of the loopcheck that measured it
	Checks     int       `json:"checks"`
	Benchmarks int       `json:"benchmarks"`
	// Verdict is empty where there are no checks.
	Verdict check.State `json:"verdict,omitempty"`
	// Unreadable says why the file is no report; all else is then empty.
	Unreadable string `json:"unreadable,omitempty"`
}

// List tells of all baselines, by name. Of no folder there are none.
func List(reports string) ([]Baseline, error) {
	all := []Baseline{}
	known, err := names(reports)
	for _, name := range known {
		b := Baseline{Name: name, Path: filepath.Join(reports, folder.Baselines, name+extension)}
		if r, err := compare.Load(b.Path); err != nil {
			b.Unreadable = err.Error()
		} else {
			b.Hostname, b.Started, b.Version, b.Verdict = r.Host.Hostname, r.Started, r.Tool.Version, r.Summary.Verdict
			b.Checks, b.Benchmarks = len(r.Checks), len(r.Benchmarks)
		}
		all = append(all, b)
	}
	return all, err
}

// names are those of the files, sorted.
func names(reports string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(reports, folder.Baselines))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var all []string
	for _, e := range entries {
		if name, is := strings.CutSuffix(e.Name(), extension); is && allowed.MatchString(name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all, err
}
