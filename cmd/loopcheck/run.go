package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/history"
	"github.com/loopcheck/loopcheck/harness/journal"
	"github.com/loopcheck/loopcheck/harness/progress"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/run"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/suites/limits"
)

// runOptions are the flags of run.
type runOptions struct {
	selection run.Selection
	out       string
	json      bool
	failOn    []string
	// connections is how many at once the user expects of one process, 0 for
	// no more than usual.
	connections int
	// policy is the file whose expectations are checked as well; "" for none.
	policy string
	mutate bool
	also   []string
	gate   gate
	// own are the user's own databases, asked in place of new ones.
	own databases
	// engine is the container engine whose containers are asked; "" for none.
	engine string
}

func newRun(a *app) *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Check this machine's loopback and write a report",
		Long: `Run asks the selected checks one after another, prints a summary, and writes
report.json, report.html and report.junit.xml into a folder named by the time
under --out; "latest" there points at the newest. journal.jsonl beside them is
written as the checks end: ` + "`loopcheck report render`" + ` makes a report of it should
the run be killed.

The first Ctrl-C (or SIGTERM) lets the check under way end and writes the
reports, marked interrupted. The second stops at once.

With --policy every expectation of a firewall's policy is a check of the suite
firewall as well: POLICY-001 and so on, in the order of the file. The report then
has a map of every port, and says which rules the policy leaves untested.

With --engine the suite containers asks real containers as well (CTR-101 and so
on). It makes an image of this binary, containers and networks, and removes them at
the end; after a second Ctrl-C for 3 seconds at most, and the next run with the same
engine the rest. The engine edits this machine's rules and interfaces for them, and opens a
port of the machine to its networks for some seconds: nothing else that run does
changes the machine.

--also writes the report in a further format, as often as it is given: github=-
prints annotations of GitHub Actions after the summary, and openmetrics=FILE is
what the textfile collector of Prometheus' node_exporter reads. A file is
replaced as a whole or not at all.

With --postgres and --redis the suite database asks your own servers in the place
of those that it starts for the run, and only what harms nothing: in a schema and
under keys of its own, which it removes. They have to be on this machine.

With --baseline the run is compared with a report that "loopcheck baseline save"
kept: what got worse is printed after the summary, and written as comparison.html
and comparison.json. With --gate a regression exits 1, of a benchmark or of a check.`,
		Example: "  loopcheck run\n  loopcheck run --suite tcp,udp --out /var/tmp/reports\n  loopcheck run --label-filter 'ping && !PING-019' --json\n  loopcheck run --fail-on warn\n  loopcheck run --policy policy.yaml --label-filter '/^POLICY/'\n  loopcheck run --also openmetrics=/var/lib/prometheus/node-exporter/loopcheck.prom\n  loopcheck run --baseline main --gate\n  loopcheck run --suite containers --engine docker\n  loopcheck run --suite database --redis 127.0.0.1:6379",
		Args:    noArguments,
		RunE:    func(*cobra.Command, []string) error { return a.run(o) },
	}
	selectionFlags(cmd, &o.selection)
	f := cmd.Flags()
	f.BoolVar(&o.selection.Full, "full", false, "also run the checks that are marked slow, and the suites http, database and containers")
	f.StringVar(&o.out, "out", "reports", "write the reports into a new folder under `DIR`; '' writes none")
	f.BoolVar(&o.json, "json", false, "print the report as one JSON document instead of the summary")
	f.IntVar(&o.connections, "expect-connections", 0, "warn where a process may open fewer files than `N` connections take (LIM-015); 0 asks for the usual 1,024")
	f.StringVar(&o.policy, "policy", "", "also check what the firewall's policy in `FILE` expects")
	f.BoolVar(&o.mutate, "mutate", false, "with --policy, also make small mistakes in the rules, and report which of them the policy notices")
	f.StringArrayVar(&o.also, "also", nil, "also write the report as `FORMAT=FILE`, with - for stdout: "+strings.Join(reportFormats(), ", "))
	f.StringVar(&o.engine, "engine", "", "also ask real containers of an engine that runs here, which edits this machine's rules for them: `NAME` is docker or podman")
	o.gate.flags(f)
	o.own.flags(cmd)
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit 1 also when a check has one of these `STATES`: warn, skip, inconclusive")
	return cmd
}

// selectionFlags are shared by the commands that select checks.
func selectionFlags(cmd *cobra.Command, s *run.Selection) {
	cmd.Flags().StringSliceVar(&s.Suites, "suite", nil, "only these `SUITES`, separated by commas")
	cmd.Flags().StringVar(&s.LabelFilter, "label-filter", "", "only the checks whose labels match a Ginkgo label filter `EXPR`: IDs, suites, slow, benchmark")
	_ = cmd.RegisterFlagCompletionFunc("suite", func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var names []string
		for _, s := range check.Suites() {
			names = append(names, s.Name+"\t"+s.Title)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// selectionError makes the user's mistakes usage errors.
func selectionError(err error) error {
	var nothing *run.NothingSelectedError
	if errors.As(err, &nothing) {
		return err
	}
	return &usageError{err}
}

// plan is what will be asked, with the policy that a part of it is about; nil
// where there is none.
func (o runOptions) plan() (plan []check.Check, withPolicy *policyRun, err error) {
	switch {
	case o.policy != "":
		if withPolicy, err = declarePolicy(o.policy); err != nil {
			return nil, nil, err
		}
	case o.mutate:
		return nil, nil, usagef("--mutate makes mistakes in the rules of a policy: name it with --policy FILE")
	}
	if plan, err = o.selection.Plan(); err != nil {
		return nil, nil, selectionError(err)
	}
	return plan, withPolicy, withPolicy.load(plan)
}

func (a *app) run(o runOptions) error {
	for _, state := range o.failOn {
		if err := oneOf("--fail-on", state, "warn", "skip", "inconclusive"); err != nil {
			return &usageError{err}
		}
	}
	also, err := parseAlso(o.also)
	if err != nil {
		return err
	}
	if o.json && slices.ContainsFunc(also, alsoFile.stdout) {
		return usagef("--json and --also with - both write to stdout: give --also a file")
	}
	if o.connections < 0 {
		return usagef("--expect-connections %d: write how many connections one process will have at once", o.connections)
	}
	if err := o.gate.load(o.out); err != nil {
		return err
	}
	limits.ExpectConnections(o.connections)
	if err := o.own.use(&o.selection); err != nil {
		return err
	}
	engined, err := declareEngine(o)
	if err != nil {
		return err
	}
	plan, withPolicy, err := o.plan()
	if err != nil {
		return err
	}
	output, err := openOutput(o.out, time.Now())
	if err != nil {
		return &usageError{fmt.Errorf("--out: %w: choose another folder, or --out '' to write none", err)}
	}
	defer output.close()

	display := progress.New(a.stderr, a.progressStyle())
	stop := listen(func() {
		_, _ = fmt.Fprintln(a.stderr, "loopcheck: stopping after this check; once more stops at once")
	}, func(further <-chan os.Signal) {
		if !briefly(abandonGrace, further, func() {
			display.Close()
			output.close()
			engined.Abandon()
		}) && o.engine != "" {
			// Nobody may read this, either.
			briefly(abandonGrace, further, func() {
				_, _ = fmt.Fprintf(a.stderr, "loopcheck: what was made with %s may be left: the next run with --engine %[1]s removes it\n", o.engine)
			})
		}
	})
	observers := []run.Observer{display}
	if output.journal != nil {
		observers = append(observers, output.journal)
	}
	result, runErr := run.Run(plan, run.Options{
		Tool:      tool(),
		Command:   append([]string{"loopcheck"}, o.own.command(os.Args[1:])...),
		Observers: observers,
		Diagnose:  diagnose.Find,
		Examine:   withPolicy.examine(a, display, o.mutate),
		Stop:      stop.requested,
		Signals:   stop.signals,
	})

	// The files come first: what stdout says of them is then true, and they are
	// whole should a signal end what an engine still has to remove.
	stop.enter(writing)
	compared := o.gate.compare(result, output)
	writeErr, alsoErr := errors.Join(output.write(result), o.gate.write(compared, output)), writeAlso(also, result)
	where := ""
	if writeErr == nil {
		where = a.pointLatest(output)
		a.writeIndex(output)
	}
	leftErr := engined.Close()
	if leftErr != nil {
		_, _ = fmt.Fprintf(a.stderr, "loopcheck: %s\n", oneLine(leftErr))
	}
	stop.enter(printing)
	printErr := errors.Join(a.printReport(o.json, result, where), a.printGate(o.json, compared), a.printAlso(also, result))
	if err := errors.Join(runErr, writeErr, alsoErr, ignoreClosedPipe(printErr)); err != nil {
		return err
	}
	if err := exitFor(result, o.failOn, stop.code()); err != nil {
		return err
	}
	if leftErr != nil {
		return codeError(exitFailed) // the engine's failure, and not loopcheck's own
	}
	return o.gate.verdict(compared)
}

// exitFor draws the exit code from a report that was written.
func exitFor(r *report.Report, failOn []string, signalCode int) error {
	switch {
	case signalCode != 0:
		return codeError(signalCode)
	case r.Summary.Failed > 0:
		return codeError(exitFailed)
	}
	for _, state := range []check.State{check.Warn, check.Skip, check.Inconclusive} {
		if slices.Contains(failOn, string(state)) && r.Summary.Count(state) > 0 {
			return codeError(exitFailed)
		}
	}
	return nil
}

// printReport prints what goes to stdout: one JSON document, or the summary
// and where the reports are.
func (a *app) printReport(asJSON bool, r *report.Report, where string) error {
	if asJSON {
		return report.JSON(r)(a.stdout)
	}
	style := report.Style{Color: a.colored(a.stdout), Width: columns(a.stdout)}
	if err := report.Text(r, style)(a.stdout); err != nil {
		return err
	}
	if where == "" {
		return nil
	}
	_, err := fmt.Fprintf(a.stdout, "Report: %s\n", terminal.Harmless(where))
	return err
}

// progressStyle animates on a terminal, but for CI logs that look like one.
func (a *app) progressStyle() progress.Style {
	_, isTerminal := terminalOf(a.stderr)
	return progress.Style{
		Animated: isTerminal && os.Getenv("CI") == "",
		Color:    a.colored(a.stderr),
		Width:    func() int { return columns(a.stderr) },
	}
}

// output is the folder of one run; without a folder nothing is written.
type output struct {
	dir     string
	file    *os.File
	journal *journal.Writer
}

func openOutput(reports string, started time.Time) (*output, error) {
	if reports == "" {
		return &output{}, nil
	}
	dir, err := folder.Create(reports, started)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, folder.Journal), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		_ = os.Remove(dir)
		return nil, err
	}
	return &output{dir: dir, file: file, journal: journal.NewWriter(file)}, nil
}

// write writes the reports.
func (o *output) write(r *report.Report) error {
	if o.dir == "" {
		return nil
	}
	return errors.Join(o.journal.Err(), writeReports(o.dir, r, folder.JSON, folder.HTML, folder.JUnit))
}

// pointLatest makes "latest" point at the run and returns the path of the HTML
// report as a user would open it. Where links cannot be made the reports stand
// all the same, so that is a warning.
func (a *app) pointLatest(o *output) string {
	if o.dir == "" {
		return ""
	}
	if err := folder.PointLatest(o.dir); err != nil {
		_, _ = fmt.Fprintf(a.stderr, "loopcheck: the reports are written, but %q does not point at them: %s\n", folder.Latest, oneLine(err))
		return filepath.Join(o.dir, folder.HTML)
	}
	return filepath.Join(filepath.Dir(o.dir), folder.Latest, folder.HTML)
}

// writeIndex makes the page of all runs anew. The reports of this one stand all the
// same where it cannot be, so that is a warning.
func (a *app) writeIndex(o *output) {
	if o.dir == "" {
		return
	}
	if _, err := history.Write(filepath.Dir(o.dir)); err != nil {
		_, _ = fmt.Fprintf(a.stderr, "loopcheck: the reports are written, but %s is not: %s\n", history.Index, oneLine(err))
	}
}

func (o *output) close() {
	if o.file != nil {
		_ = o.file.Close()
		o.file = nil
	}
}

// writeReports writes the named files of a report into a folder.
func writeReports(dir string, r *report.Report, names ...string) error {
	formats := map[string]func(io.Writer) error{
		folder.JSON: report.JSON(r), folder.HTML: report.HTML(r), folder.JUnit: report.JUnit(r),
	}
	var errs []error
	for _, name := range names {
		errs = append(errs, folder.Write(filepath.Join(dir, name), formats[name]))
	}
	return errors.Join(errs...)
}
