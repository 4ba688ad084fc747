package report

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/loopcheck/loopcheck/harness/check"
)

// Document is what a JSON document of this program holds. All but one are nil.
type Document struct {
	Report  *Report
	Bench   *BenchRun
	Ladders *Ladders
}

// ReadDocument reads what JSON, BenchRun.Export or LaddersJSON wrote, and tells
// them apart by their keys. The errors are those of Read.
func ReadDocument(from io.Reader) (*Document, error) { return read(from, parseDocument) }

func parseDocument(document []byte) (*Document, error) {
	var keys struct {
		Checks     json.RawMessage `json:"checks"`
		Benchmarks json.RawMessage `json:"benchmarks"`
		Ladders    json.RawMessage `json:"ladders"`
	}
	// What is no document at all, the reader of reports tells.
	_ = json.Unmarshal(document, &keys)
	switch {
	case keys.Ladders != nil:
		l, err := parseFigures[Ladders](document)
		return &Document{Ladders: l}, err
	case keys.Benchmarks != nil && keys.Checks == nil:
		r, err := parseFigures[BenchRun](document)
		return &Document{Bench: r}, err
	}
	r, err := parse(document)
	return &Document{Report: r}, err
}

// Measured is the document as a report: of benchmarks by themselves one whose Checks,
// Listeners and Suites are nil, for nothing was asked. The error is of ladders, which
// are no benchmarks.
func (d *Document) Measured() (*Report, error) {
	switch {
	case d.Ladders != nil:
		return nil, errors.New("read report: it holds ladders, and no benchmarks")
	case d.Bench != nil:
		return d.Bench.report(), nil
	}
	return d.Report, nil
}

// report is the benchmarks as a report of a run that asked nothing.
func (r *BenchRun) report() *Report {
	return &Report{
		SchemaVersion: SchemaVersion, Tool: r.Tool, Started: r.Started, Duration: r.Duration, Command: r.Command, Interrupted: r.Interrupted,
		Host: r.Host, Noise: r.Noise, Benchmarks: r.Benchmarks,
	}
}

func parseFigures[T any](document []byte) (*T, error) {
	if err := wrongVersion(document); err != nil {
		return nil, err
	}
	var figures T
	if err := json.Unmarshal(document, &figures); err != nil {
		return nil, located(document, err)
	}
	return &figures, nil
}

// measuredView is a page of figures without checks.
type measuredView struct {
	*Report // the machine, and when what was measured on it
	ChartHead
	frameView
	State    check.State // colours the head
	Sentence string
	Notes    []benchNote
	// Bench, Ladders and Rules are nil where there is nothing of them.
	Bench   *benchView
	Ladders []ladderView
	Rules   *rulesView
}

var measuredTemplate = sectioned("measured", measuredHTML)

// BenchHTML writes benchmarks as one page that needs nothing but itself, as HTML
// writes a report.
func BenchHTML(r *BenchRun) func(io.Writer) error {
	r = HarmlessCopy(r)
	v := newMeasuredView("benchmarks", r.Sentence(), r.report())
	v.Notes, v.Bench = r.notes(), benchViewOf(r.Benchmarks)
	return v.write
}

// LaddersHTML writes ladders as one page that needs nothing but itself.
func LaddersHTML(l *Ladders) func(io.Writer) error {
	l = HarmlessCopy(l)
	v := newMeasuredView("ladder", l.Sentence(), &Report{
		Tool: l.Tool, Started: l.Started, Duration: l.Duration, Command: l.Command, Interrupted: l.Interrupted, Host: l.Host, Noise: l.Noise,
	})
	for _, one := range l.Ladders {
		v.Ladders = append(v.Ladders, ladderViewOf(one))
	}
	v.Rules = rulesViewOf(l.Rules)
	return v.write
}

func newMeasuredView(topic, sentence string, r *Report) measuredView {
	v := measuredView{
		Report: r, ChartHead: NewChartHead(titleOf(r, topic), ""), frameView: frameOf(r), State: check.Pass, Sentence: sentence,
	}
	if r.Interrupted {
		v.State = check.Interrupted
	}
	return v
}

func (v measuredView) write(w io.Writer) error {
	if err := measuredTemplate.Execute(w, v); err != nil {
		return fmt.Errorf("write the figures as HTML: %w", err)
	}
	return nil
}
