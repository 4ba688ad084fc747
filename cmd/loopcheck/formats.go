package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

// reportFormats are what --format and --also take.
func reportFormats() []string {
	var names []string
	for _, f := range report.Formats {
		names = append(names, f.Name)
	}
	return names
}

// inFormat is a report in the format of that name, which has to be one of
// reportFormats.
func inFormat(name string, r *report.Report) func(io.Writer) error {
	for _, f := range report.Formats {
		if f.Name == name {
			return f.Write(r)
		}
	}
	return func(io.Writer) error {
		return fmt.Errorf("format %q is none of %s", name, strings.Join(reportFormats(), ", "))
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
		if err := oneOf("--also", format, reportFormats()...); err != nil {
			return nil, &usageError{err}
		}
		// Told before the run rather than after it.
		if path != "-" {
			if err := replaceable(path); err != nil {
				return nil, usagef("--also %s: %w: choose another file", format, err)
			}
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

// checkOut finds out before anything else whether --out can be written.
func checkOut(path string) error {
	if path == "" {
		return nil
	}
	if err := replaceable(path); err != nil {
		return usagef("--out: %w: choose another file", err)
	}
	return nil
}
