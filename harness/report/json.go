package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// maxReportBytes bounds what Read takes into memory. A report of a thousand
// checks and a hundred benchmarks is about 2 MiB.
const maxReportBytes = 64 << 20

// knownVersions are the schema versions that Read understands.
var knownVersions = []string{SchemaVersion}

// JSON writes the report in the form of docs/report.schema.json: one indented
// document with a line feed at its end. Lists and maps that hold nothing are
// written as [] and {}. A measurement or percentile that is not a finite
// number has no form in JSON and is left out.
func JSON(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		r := rewritten(r, func(s string) string { return s })
		for _, c := range r.Checks {
			maps.DeleteFunc(c.Measurements, notFinite)
		}
		for _, b := range r.Benchmarks {
			maps.DeleteFunc(b.Percentiles, notFinite)
			maps.DeleteFunc(b.Service, notFinite)
		}
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("write the report as JSON: %w", err)
		}
		return nil
	}
}

func notFinite(_ string, v float64) bool { return math.IsNaN(v) || math.IsInf(v, 0) }

// VersionError is a report of a schema version that this build cannot read.
type VersionError struct {
	Version string // empty where the document names none
}

func (e *VersionError) Error() string {
	known := strings.Join(knownVersions, ", ")
	if e.Version == "" {
		return fmt.Sprintf("no schema_version: this is no loopcheck report of version %s", known)
	}
	return fmt.Sprintf("unknown schema_version %q: this loopcheck reads %s", shortened(e.Version), known)
}

// Read reads a report that JSON wrote. Keys that it does not know are ignored,
// since a later loopcheck may add some without a new schema version. The error
// is one line and says where the document is wrong; it is a *VersionError
// where the document is of another schema version.
func Read(from io.Reader) (*Report, error) { return read(from, parse) }

func read[T any](from io.Reader, parse func([]byte) (*T, error)) (*T, error) {
	document, err := io.ReadAll(io.LimitReader(from, maxReportBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if len(document) > maxReportBytes {
		return nil, fmt.Errorf("read report: larger than %d MiB", maxReportBytes>>20)
	}
	if len(bytes.TrimSpace(document)) == 0 {
		return nil, errors.New("read report: it is empty")
	}
	if err := bounded(document); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	r, err := parse(document)
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	return r, nil
}

func parse(document []byte) (*Report, error) {
	if err := wrongVersion(document); err != nil {
		return nil, err
	}
	var r Report
	if err := json.Unmarshal(document, &r); err != nil {
		return nil, located(document, err)
	}
	return validated(&r)
}

// wrongVersion says why the document is no report of a version that is known, or
// nothing.
func wrongVersion(document []byte) error {
	var head struct {
		SchemaVersion string `json:"schema_version"`
	}
	if err := json.Unmarshal(document, &head); err != nil {
		return located(document, err)
	}
	if !slices.Contains(knownVersions, head.SchemaVersion) {
		return &VersionError{Version: head.SchemaVersion}
	}
	return nil
}

func validated(r *Report) (*Report, error) {
	for i, c := range r.Checks {
		if err := c.Validate(); err != nil {
			return nil, fmt.Errorf("checks[%d] (%q): %w", i, shortened(c.ID), err)
		}
	}
	if !slices.Contains(check.States, r.Summary.Verdict) {
		return nil, fmt.Errorf("summary: unknown verdict %q: it is one of %s", shortened(string(r.Summary.Verdict)), join(check.States))
	}
	return r, nil
}

// shortened is what an error tells of a value that may be as long as the document.
func shortened(s string) string { return terminal.Shorten(s, 60) }

func join(states []check.State) string {
	var names []string
	for _, s := range states {
		names = append(names, string(s))
	}
	return strings.Join(names, ", ")
}

// located puts the line and column in front of an error of encoding/json.
func located(document []byte, err error) error {
	var syntax *json.SyntaxError
	var mismatch *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("%s: %w", position(document, syntax.Offset), err)
	case errors.As(err, &mismatch):
		where := position(document, mismatch.Offset)
		if mismatch.Field == "" {
			return fmt.Errorf("%s: found a JSON %s, not a report", where, shortened(mismatch.Value))
		}
		return fmt.Errorf("%s: %s: a JSON %s does not fit %s", where, oneLine(terminal.Harmless(shortened(mismatch.Field))), shortened(mismatch.Value), mismatch.Type)
	}
	return err
}

// position is the line and column, from 1, of the last byte that was read.
func position(document []byte, offset int64) string {
	read := document[:min(max(offset, 0), int64(len(document)))]
	line := 1 + bytes.Count(read, []byte("\n"))
	column := len(read) - (bytes.LastIndexByte(read, '\n') + 1)
	return fmt.Sprintf("line %d, column %d", line, max(column, 1))
}
