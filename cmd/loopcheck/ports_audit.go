package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/audit"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// auditOptions are the flags of ports audit.
type auditOptions struct {
	allow, write string
	force, probe bool
	out          string
	json         bool
	failOn       []string
}

func newPortsAudit(a *app) *cobra.Command {
	var o auditOptions
	cmd := &cobra.Command{
		Use:   "audit",
		Short: "Hold what listens against what may, and find what ought to be local",
		Long: `Audit looks at who listens on this machine. With an allow-list, what listens
beyond it fails, and what is missing fails. With and without one it warns of
services that ought to be local but answer on every interface, which it proves
by connecting over the machine's other addresses, and of ordinary users' servers
below port 1024. With --probe it also asks well-known services, by one request
that changes nothing, whether they answer without authentication.

An allow-list is a YAML file:

  listeners:
    - port: 22              # or 8000-8010,9000
      protocol: tcp
      address: every        # every interface, loopback, or an address
      process: sshd         # process and unit may be left out
      unit: ssh.service
    - port: 3000
      protocol: tcp
      address: loopback
      optional: true        # may listen, need not

Other users' processes are seen by root only.`,
		Example: "  loopcheck ports audit\n  loopcheck ports audit --write allow.yaml\n  loopcheck ports audit --allow allow.yaml --probe --out reports",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if o.write != "" {
				return a.recordListeners(o)
			}
			return a.portsAudit(o)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.allow, "allow", "", "hold the listeners against the allow-list in this `FILE`")
	f.StringVar(&o.write, "write", "", "write what listens now as an allow-list to `FILE`, and judge nothing")
	f.BoolVar(&o.force, "force", false, "with --write: replace a file that is there")
	f.BoolVar(&o.probe, "probe", false, "ask well-known services whether they answer without authentication")
	f.StringVar(&o.out, "out", "", "write the reports into a new folder under `DIR`")
	f.BoolVar(&o.json, "json", false, "print the report as one JSON document instead of the summary")
	f.StringSliceVar(&o.failOn, "fail-on", nil, "exit 1 also when a check has one of these `STATES`: warn, skip, inconclusive")
	return cmd
}

func (a *app) portsAudit(o auditOptions) error {
	for _, state := range o.failOn {
		if err := oneOf("--fail-on", state, "warn", "skip", "inconclusive"); err != nil {
			return &usageError{err}
		}
	}
	options := audit.Options{Probe: o.probe}
	if o.allow != "" {
		var err error
		if options.Allow, err = audit.ReadFile(o.allow); err != nil {
			return usagef("--allow: %w", err)
		}
	}
	dir := ""
	if o.out != "" {
		var err error
		if dir, err = folder.Create(o.out, time.Now()); err != nil {
			return usagef("--out: %w: choose another folder", err)
		}
	}
	ctx, stop := interruptible()
	result := report.New(tool(), append([]string{"loopcheck"}, os.Args[1:]...), host.Read(), nil)
	noise := host.StartNoise()
	outcome, err := audit.Run(ctx, options)
	if err != nil {
		if dir != "" {
			_ = os.Remove(dir)
		}
		return stop.or(err)
	}
	result.Suites = []check.Suite{audit.Suite}
	result.Checks, result.Listeners = outcome.Checks, outcome.List.Listeners
	result.Noise = noise.Stop()
	result.Duration = time.Since(result.Started)
	result.Summary = report.Summarize(result.Checks)

	stop.enter(writing)
	var writeErr error
	where := ""
	if dir != "" {
		// "latest" stays with the newest run: an audit is another report.
		writeErr = writeReports(dir, result, folder.JSON, folder.HTML, folder.JUnit)
		where = filepath.Join(dir, folder.HTML)
	}
	stop.enter(printing)
	printErr := a.printReport(o.json, result, where)
	if err := errors.Join(writeErr, ignoreClosedPipe(printErr)); err != nil {
		return err
	}
	return exitFor(result, o.failOn, stop.code())
}

// recordListeners writes what listens now as an allow-list.
func (a *app) recordListeners(o auditOptions) error {
	if o.allow != "" || o.probe || o.json || o.out != "" {
		return usagef("--write judges nothing: leave out --allow, --probe, --json and --out")
	}
	if _, err := os.Lstat(o.write); err == nil && !o.force {
		return usagef("--write: %s is there already: write another name, or --force to replace it", o.write)
	}
	list, err := listeners.Read(context.Background())
	if err != nil {
		return err
	}
	allow := audit.Record(list, audit.Ephemeral())
	if err := folder.Write(o.write, allow.Write); err != nil {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return usagef("--write: %w: choose another file", err)
		}
		return err
	}
	for _, unseen := range list.Unseen {
		_, _ = fmt.Fprintf(a.stderr, "loopcheck: not seen: %s\n", terminal.Harmless(unseen))
	}
	rules := "rules"
	if len(allow.Rules) == 1 {
		rules = "rule"
	}
	_, err = fmt.Fprintf(a.stdout, "%s: %d %s. Read it, then: loopcheck ports audit --allow %s\n", terminal.Harmless(o.write), len(allow.Rules), rules, terminal.Harmless(o.write))
	return ignoreClosedPipe(err)
}
