package journal

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/loopcheck/loopcheck/harness/report"
)

// maxLine bounds one line. The largest are the maps of a firewall, of some
// kilobytes as a rule, and of some megabytes where every port differs from the
// next.
const maxLine = 16 << 20

// SyntaxError is a journal that cannot be read.
type SyntaxError struct {
	Line   int // counted from 1
	Reason string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("line %d: %s", e.Line, e.Reason)
}

const (
	underWay = "under way when the run was killed"
	notAsked = "not asked: the run was killed before"
)

// Read makes a report of a journal. A run that was killed gives a report
// marked interrupted, in which the checks that had not ended are interrupted.
// A last line that was cut off is left out. The error is a *SyntaxError, or
// comes from the reader.
func Read(r io.Reader) (*report.Report, error) {
	lines := bufio.NewReaderSize(r, 64<<10)
	var p parser
	for {
		line, complete, err := nextLine(lines)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, p.fault(err.Error())
		}
		p.line++
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			if !complete && p.report != nil {
				break // killed while writing it
			}
			return nil, p.fault("not a line of a journal: " + err.Error())
		}
		if err := p.take(e); err != nil {
			return nil, err
		}
	}
	if p.report == nil {
		return nil, p.fault("the journal is empty: expected the journal.jsonl of a run")
	}
	return p.finish(), nil
}

// nextLine returns a line without its end, and whether it had one.
func nextLine(r *bufio.Reader) (line []byte, complete bool, err error) {
	var buf bytes.Buffer
	for {
		part, err := r.ReadSlice('\n')
		buf.Write(part)
		if buf.Len() > maxLine {
			return nil, false, fmt.Errorf("longer than %d bytes", maxLine)
		}
		switch {
		case err == nil:
			return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), true, nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && buf.Len() > 0:
			return buf.Bytes(), false, nil
		default:
			return nil, false, err
		}
	}
}

type parser struct {
	line   int
	head   *head
	report *report.Report
	began  string
	ended  bool
	last   entry
}

func (p *parser) fault(reason string) error {
	return &SyntaxError{Line: max(p.line, 1), Reason: reason}
}

func (p *parser) take(e entry) error {
	switch {
	case p.report == nil && (e.Head == nil || e.Head.Report == nil):
		return p.fault("expected the head of a journal: is this the journal.jsonl of a run?")
	case p.report != nil && e.Head != nil:
		return p.fault("a second head: two journals in one file")
	case p.ended:
		return p.fault("goes on after its end")
	}
	switch {
	case e.Head != nil:
		if v := e.Head.Report.SchemaVersion; v != report.SchemaVersion {
			return p.fault(fmt.Sprintf("schema version %q: this loopcheck reads %q", v, report.SchemaVersion))
		}
		for i, c := range e.Head.Plan {
			if err := report.NotAsked(c, notAsked).Validate(); err != nil {
				return p.fault(fmt.Sprintf("plan[%d]: %v", i, err))
			}
		}
		p.head, p.report = e.Head, e.Head.Report
		// They have lines of their own.
		p.report.Checks, p.report.Firewall = []report.Check{}, nil
	case e.Began != "":
		p.began = e.Began
	case e.Check != nil:
		if err := e.Check.Validate(); err != nil {
			return p.fault(fmt.Sprintf("check %q: %v", e.Check.ID, err))
		}
		p.report.Checks = append(p.report.Checks, *e.Check)
	case e.Benchmark != nil:
		p.report.Benchmarks = append(p.report.Benchmarks, *e.Benchmark)
	case e.Firewall != nil:
		p.report.AddFirewall(*e.Firewall)
	case e.End != nil:
		p.ended = true
		p.report.Duration = e.End.Duration
		p.report.Interrupted = e.End.Interrupted
		p.report.Noise = e.End.Noise
	default:
		return p.fault("holds nothing that a journal holds")
	}
	p.last = e
	return nil
}

// finish completes the report of a run that may have been killed.
func (p *parser) finish() *report.Report {
	r := p.report
	if !p.ended {
		r.Interrupted = true
		r.Duration = max(p.last.At.Sub(r.Started), 0)
		have := map[string]bool{}
		for _, c := range r.Checks {
			have[c.ID] = true
		}
		for _, c := range p.head.Plan {
			if have[c.ID] {
				continue
			}
			message := notAsked
			if c.ID == p.began {
				message = underWay
			}
			r.Checks = append(r.Checks, report.NotAsked(c, message))
		}
	}
	r.Summary = report.Summarize(r.Checks)
	return r
}
