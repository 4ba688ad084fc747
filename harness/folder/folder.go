// Package folder keeps the reports folder: a folder a run, named by its start
// in UTC, and "latest" pointing at the newest.
package folder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Names of the files of a run, and of what is beside its folder.
const (
	Journal = "journal.jsonl"
	JSON    = "report.json"
	HTML    = "report.html"
	JUnit   = "report.junit.xml"
	// Comparison is with a baseline, where the run had one.
	Comparison     = "comparison.json"
	ComparisonHTML = "comparison.html"
	// Latest is the link in the reports folder to the newest run.
	Latest = "latest"
	// Baselines is the folder in the reports folder of what runs are compared with.
	Baselines = "baselines"
)

// layout names a run's folder by its start: ISO 8601, with what file systems
// refuse left out.
const layout = "2006-01-02T15-04-05Z"

// maxSameSecond bounds the search for a free name among runs that started in
// one second.
const maxSameSecond = 1000

// Create makes the folder of a run that started at the given time, and the
// reports folder around it where there is none.
func Create(reports string, started time.Time) (string, error) {
	if err := os.MkdirAll(reports, 0o755); err != nil {
		return "", err
	}
	name := started.UTC().Format(layout)
	for n := 1; n <= maxSameSecond; n++ {
		path := filepath.Join(reports, name)
		if n > 1 {
			path = fmt.Sprintf("%s-%d", path, n)
		}
		err := os.Mkdir(path, 0o755)
		if !errors.Is(err, fs.ErrExist) {
			return path, err
		}
	}
	return "", fmt.Errorf("%s: %d runs started in one second", filepath.Join(reports, name), maxSameSecond)
}

// Write writes a file as a whole or not at all: to a temporary name beside
// it, which then takes its place. What is there and is no regular file, such as a
// device, is left alone and an error.
func Write(path string, content func(io.Writer) error) (err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("write %s: it is no regular file", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err := content(f); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := f.Chmod(0o644); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	if err := f.Close(); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return os.Rename(f.Name(), path)
}

// PointLatest makes "latest" in the reports folder point at a run's folder,
// in one step, so that a reader sees the old or the new one.
func PointLatest(run string) error {
	reports, name := filepath.Split(filepath.Clean(run))
	temporary := filepath.Join(reports, "."+Latest+"."+name)
	if err := os.Symlink(name, temporary); err != nil {
		return err
	}
	if err := os.Rename(temporary, filepath.Join(reports, Latest)); err != nil {
		_ = os.Remove(temporary)
		return err
	}
	return nil
}
