// Package run runs the registered specs in this process and makes their
// outcome a report.
//
// It knows no suite by name: what is asked comes from the catalogue in
// harness/check, and the specs from the packages that the binary imports.
package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/ginkgo/v2/formatter"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

const (
	// gracePeriod is how long a check may go on after its deadline before it
	// is abandoned. What a check waits for is bounded by its context, so this
	// only has to cover a machine that is short of processor time.
	gracePeriod = 5 * time.Second
	// diagnoseTimeout bounds the search for the causes of one symptom.
	diagnoseTimeout = 3 * time.Second
	// listenersTimeout bounds the look at who listens. It takes milliseconds, and
	// some hundred where there are a hundred thousand processes.
	listenersTimeout = 2 * time.Second
)

// ErrPanicked says that a check panicked: loopcheck itself is at fault, so the
// run proves nothing about the machine in that respect.
var ErrPanicked = errors.New("a check panicked: this is a defect of loopcheck, not of the machine")

// Observer is told what happens during a run, from one goroutine.
type Observer interface {
	// Started is called once, with the report's head and what will be asked.
	Started(head *report.Report, plan []check.Check)
	Began(check.Check)
	Ended(report.Check)
	Measured(bench.Result)
	// Examined is told what was found of the firewall, a part at a time.
	Examined(part report.Firewall)
	// Finished is called once, with the whole report.
	Finished(*report.Report)
}

// Options is what a run is made of, beside its plan.
type Options struct {
	Tool      report.Tool
	Command   []string // as it will stand in the report
	Observers []Observer
	// Diagnose looks up why a check failed or could not be asked; nil looks up
	// nothing.
	Diagnose func(context.Context, diagnose.Symptom) diagnose.Diagnosis
	// Examine are called one after the other once the checks have ended, each for
	// a part of what the report says of the firewall. Their context ends when the
	// run is told to stop, and none is called then.
	Examine []func(context.Context) (report.Firewall, error)
	// Stop, when closed, keeps further checks from starting; the one under
	// way ends first.
	Stop <-chan struct{}
	// Signals is the caller's own channel for SIGINT and SIGTERM. Ginkgo
	// listens for them as well and would end the check under way; Run takes
	// them back and notifies this channel alone.
	Signals chan<- os.Signal
}

// Run runs the planned checks one after another and returns their report. It
// may be called once in a process: Ginkgo allows no second run. The report is
// complete even where an error is returned with it.
func Run(plan []check.Check, opts Options) (*report.Report, error) {
	r := newRecorder(plan, opts)
	noise := host.StartNoise()

	suiteConfig, reporterConfig := ginkgo.GinkgoConfiguration()
	suiteConfig.LabelFilter = filterFor(plan)
	suiteConfig.GracePeriod = gracePeriod
	// Ginkgo's own reporter has nothing to say here, and stdout is not its.
	formatter.ColorableStdOut = io.Discard
	reporterConfig.NoColor = true

	ginkgo.ReportBeforeSuite(func(ginkgo.Report) { takeSignals(opts.Signals) })
	ginkgo.BeforeEach(r.gate)
	ginkgo.ReportBeforeEach(r.began)
	ginkgo.JustAfterEach(r.diagnose, ginkgo.NodeTimeout(diagnoseTimeout))
	ginkgo.ReportAfterEach(r.ended)

	var verdict ginkgoVerdict
	ginkgo.RunSpecs(&verdict, "loopcheck", suiteConfig, reporterConfig)

	examineErr := r.examine()
	result, err := r.finish(noise.Stop())
	return result, errors.Join(err, examineErr)
}

// ginkgoVerdict takes Ginkgo's verdict, which counts warnings as failures and
// so is of no use: the report draws its own.
type ginkgoVerdict struct{}

func (*ginkgoVerdict) Fail() {}

func takeSignals(to chan<- os.Signal) {
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	if to != nil {
		signal.Notify(to, os.Interrupt, syscall.SIGTERM)
	}
}

// filterFor selects exactly the planned checks.
func filterFor(plan []check.Check) string {
	ids := make([]string, len(plan))
	for i, c := range plan {
		ids[i] = c.ID
	}
	return strings.Join(ids, " || ")
}

// recorder turns what Ginkgo reports into the report.
type recorder struct {
	opts     Options
	plan     []check.Check
	report   *report.Report
	planned  map[string]bool
	done     map[string]bool
	panicked bool
	// abandoned is the first check that outlived its deadline. Its goroutine
	// may still be busy, so nothing is measured after it.
	abandoned string
	// counted is what the kernel had counted when the check under way began;
	// nil where that cannot be read.
	counted counters.Snapshot
}

func newRecorder(plan []check.Check, opts Options) *recorder {
	head := report.New(opts.Tool, opts.Command, host.Read(), plan)
	head.Listeners = whoListens()
	for _, o := range opts.Observers {
		o.Started(head, plan)
	}
	planned := map[string]bool{}
	for _, c := range plan {
		planned[c.ID] = true
	}
	return &recorder{opts: opts, plan: plan, report: head, planned: planned, done: map[string]bool{}}
}

// whoListens is who does before the checks themselves do. Where that cannot be
// read the report goes without: the checks ask the stack and not its tables.
func whoListens() []listeners.Listener {
	ctx, cancel := context.WithTimeout(context.Background(), listenersTimeout)
	defer cancel()
	list, err := listeners.Read(ctx)
	if err != nil {
		return []listeners.Listener{}
	}
	return list.Listeners
}

// gate keeps a check from starting once the run was told to stop, and a
// benchmark from running beside a check that never ended.
func (r *recorder) gate() {
	select {
	case <-r.opts.Stop:
		ginkgo.AddReportEntry("interrupted", interrupted{}, ginkgo.ReportEntryVisibilityNever)
		ginkgo.Skip(notAsked)
	default:
	}
	c, known := checkOf(ginkgo.CurrentSpecReport())
	if known && c.Benchmark && r.abandoned != "" {
		reason := fmt.Sprintf("%s did not end at its deadline and may still be using a processor", r.abandoned)
		ginkgo.AddReportEntry("inconclusive", check.Unreliable{Reason: reason}, ginkgo.ReportEntryVisibilityNever)
		ginkgo.Skip(reason)
	}
	if r.counted = nil; r.opts.Diagnose != nil {
		r.counted, _ = counters.Read() // without it the search for causes has less to go by
	}
}

func (r *recorder) began(spec ginkgo.SpecReport) {
	c, known := checkOf(spec)
	// Ginkgo reports on the specs that its filter leaves out as well.
	if !known || !r.planned[c.ID] || stopped(r.opts.Stop) {
		return
	}
	for _, o := range r.opts.Observers {
		o.Began(c)
	}
}

// diagnosed is how long the search for causes took, which Ginkgo counts as the
// spec's.
type diagnosed struct{ took time.Duration }

// diagnose runs while the check's surroundings still stand: clean-up and the
// report nodes come after it.
func (r *recorder) diagnose(ctx ginkgo.SpecContext) {
	if r.opts.Diagnose == nil {
		return
	}
	symptom, found := symptomOf(ginkgo.CurrentSpecReport())
	if !found {
		return
	}
	start := time.Now()
	if now, err := counters.Read(); err == nil && r.counted != nil {
		symptom.Moved = now.Sub(r.counted)
	}
	diagnosis := r.opts.Diagnose(ctx, symptom)
	ginkgo.AddReportEntry("diagnosed", diagnosed{time.Since(start)}, ginkgo.ReportEntryVisibilityNever)
	for _, finding := range diagnosis.Findings {
		ginkgo.AddReportEntry(finding.Cause.ID, finding, ginkgo.ReportEntryVisibilityNever)
	}
	if len(diagnosis.Findings) == 0 {
		for _, c := range diagnosis.Counted {
			ginkgo.AddReportEntry(c.Name, check.Evidence{What: "kernel counter", Seen: c.String()}, ginkgo.ReportEntryVisibilityNever)
		}
	}
	for _, unseen := range diagnosis.Unseen {
		ginkgo.AddReportEntry(unseen.What, unseen, ginkgo.ReportEntryVisibilityNever)
	}
}

func (r *recorder) ended(spec ginkgo.SpecReport) {
	c, known := checkOf(spec)
	if !known || filteredOut(spec) {
		return
	}
	o := outcomeOf(c, spec)
	r.panicked = r.panicked || o.panicked
	if o.timedOut && r.abandoned == "" {
		r.abandoned = c.ID
	}
	r.add(o.check)
	if o.policy != nil {
		r.examined(report.Firewall{Policy: o.policy})
	}
	for _, b := range o.benchmarks {
		r.report.Benchmarks = append(r.report.Benchmarks, b)
		for _, obs := range r.opts.Observers {
			obs.Measured(b)
		}
	}
}

func (r *recorder) add(c report.Check) {
	r.done[c.ID] = true
	r.report.Checks = append(r.report.Checks, c)
	for _, o := range r.opts.Observers {
		o.Ended(c)
	}
}

func (r *recorder) examined(part report.Firewall) {
	r.report.AddFirewall(part)
	for _, o := range r.opts.Observers {
		o.Examined(part)
	}
}

// examine looks at the firewall. What the end of the run keeps from being looked
// at is no error.
func (r *recorder) examine() error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-r.opts.Stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	var errs []error
	for _, look := range r.opts.Examine {
		if stopped(r.opts.Stop) {
			break
		}
		part, err := look(ctx)
		switch {
		case err == nil:
			r.examined(part)
		case !stopped(r.opts.Stop):
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (r *recorder) finish(noise host.Noise) (*report.Report, error) {
	for _, c := range r.plan {
		if !r.done[c.ID] {
			r.add(report.NotAsked(c, notAsked))
		}
	}
	r.report.Interrupted = stopped(r.opts.Stop)
	r.report.Noise = noise
	r.report.Duration = time.Since(r.report.Started)
	r.report.Summary = report.Summarize(r.report.Checks)
	for _, o := range r.opts.Observers {
		o.Finished(r.report)
	}
	if r.panicked {
		return r.report, ErrPanicked
	}
	return r.report, nil
}

func stopped(stop <-chan struct{}) bool {
	select {
	case <-stop:
		return true
	default:
		return false
	}
}
