package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

// formatNames are what --format and --also take.
func formatNames() []string {
	var names []string
	for _, f := range report.Formats {
		names = append(names, f.Name)
	}
	return names
}

// inFormat is a report in the format of that name, which has to be one of
// formatNames.
func inFormat(name string, r *report.Report) func(io.Writer) error {
	for _, f := range report.Formats {
		if f.Name == name {
			return f.Write(r)
		}
	}
	return func(io.Writer) error {
		return fmt.Errorf("format %q is none of %s", name, strings.Join(formatNames(), ", "))
	}
}

// alsoFile is a format to be written beside the usual ones, and where.
type alsoFile struct{ format, path string }

// parseAlso reads the values of --also, each FORMAT=FILE.
func parseAlso(values []string) ([]alsoFile, error) {
	var files []alsoFile
	for _, value := range values {
		format, path, found := strings.Cut(value, "=")
		if !found || path == "" {
			return nil, usagef("--also %q: write FORMAT=FILE, such as openmetrics=loopcheck.prom", value)
		}
		if err := oneOf("--also", format, formatNames()...); err != nil {
			return nil, &usageError{err}
		}
		// Told before the run rather than after it.
		if folder, err := os.Stat(filepath.Dir(path)); err != nil || !folder.IsDir() {
			return nil, usagef("--also %q: there is no folder %s: make it, or choose another file", value, filepath.Dir(path))
		}
		files = append(files, alsoFile{format, path})
	}
	return files, nil
}

// stdout says whether the format goes to stdout.
func (f alsoFile) stdout() bool { return f.path == "-" }

// writeAlso writes the files that --also named.
func writeAlso(files []alsoFile, r *report.Report) error {
	var errs []error
	for _, f := range files {
		if !f.stdout() {
			errs = append(errs, folder.Write(f.path, inFormat(f.format, r)))
		}
	}
	return errors.Join(errs...)
}

// printAlso prints what --also wants on stdout.
func (a *app) printAlso(files []alsoFile, r *report.Report) error {
	var errs []error
	for _, f := range files {
		if f.stdout() {
			errs = append(errs, inFormat(f.format, r)(a.stdout))
		}
	}
	return errors.Join(errs...)
}
