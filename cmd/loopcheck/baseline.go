package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"syscall"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/baseline"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

func newBaseline(a *app) *cobra.Command {
	var reports string
	cmd := &cobra.Command{
		Use:   "baseline",
		Short: "Keep reports under a name, to compare later runs with",
		Long: `Baselines are reports that later runs are compared with: by
"loopcheck compare --baseline NAME NEW" and "loopcheck run --baseline NAME --gate".
Each is a file in the folder baselines of the reports folder, which can be kept
with a project's own files.`,
		Args: noSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&reports, "reports", "reports", "the reports folder `DIR` that has the baselines")
	cmd.AddCommand(newBaselineSave(a, &reports), newBaselineList(a, &reports), newBaselineShow(a, &reports))
	return cmd
}

func newBaselineSave(a *app, reports *string) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use:   "save NAME [REPORT]",
		Short: "Keep a report under a name",
		Long: `Save keeps a report as a baseline: the report.json of a run, its folder, or what
"loopcheck bench --json" wrote; the latest run where none is named. A baseline that
is there already is replaced with --force only.`,
		Example: "  loopcheck baseline save main\n  loopcheck bench --profile standard --out bench.json && loopcheck baseline save before-upgrade bench.json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) < 1 || len(args) > 2 {
				return usagef("baseline save takes a name, and the report if it is not the latest: see `loopcheck baseline save --help`")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			from := filepath.Join(*reports, folder.Latest)
			if len(args) == 2 {
				from = args[1]
			}
			path, err := baseline.Save(*reports, args[0], from, force)
			switch {
			case errors.As(err, new(*baseline.ExistsError)):
				return usagef("%w: replace it with --force, or choose another name", err)
			case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
				return usagef("%w: choose another folder with --reports", err)
			case errors.Is(err, syscall.ENOSPC):
				return err
			case err != nil:
				return &usageError{err}
			}
			_, err = fmt.Fprintf(a.stdout, "Baseline %s: %s\n", args[0], harmlessLine(path))
			return ignoreClosedPipe(err)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "replace a baseline of the same name")
	return cmd
}

func newBaselineList(a *app, reports *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the baselines",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			all, err := baseline.List(*reports)
			if err != nil {
				return &usageError{err}
			}
			if asJSON {
				return writeJSON(a.stdout, all)
			}
			_, err = io.WriteString(a.stdout, baselineTable(all))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

// baselineTable is a line for each.
func baselineTable(all []baseline.Baseline) string {
	if len(all) == 0 {
		return "There is no baseline: `loopcheck baseline save NAME` makes one of the latest run.\n"
	}
	var b strings.Builder
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, one := range all {
		if one.Unreadable != "" {
			_, _ = fmt.Fprintf(table, "%s\tnot readable: %s\n", one.Name, harmlessLine(one.Unreadable))
			continue
		}
		what := []string{}
		if one.Checks > 0 {
			what = append(what, countOf(one.Checks, "check")+", "+string(one.Verdict))
		}
		if one.Benchmarks > 0 {
			what = append(what, countOf(one.Benchmarks, "benchmark"))
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", one.Name, one.Started.UTC().Format("2006-01-02 15:04:05"), harmlessLine(one.Hostname), strings.Join(what, "; "))
	}
	_ = table.Flush()
	return b.String()
}

func newBaselineShow(a *app, reports *string) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a baseline as its run printed it",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("baseline show takes one name: `loopcheck baseline list` tells which there are")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := baseline.Load(*reports, args[0])
			if err != nil {
				return &usageError{err}
			}
			if r.Checks != nil {
				return a.printReport(asJSON, r, "")
			}
			run := report.Bench(r)
			if asJSON {
				return formatted(run, "json", report.Style{})(a.stdout)
			}
			return formatted(run, "text", report.Style{Color: a.colored(a.stdout), Width: columns(a.stdout)})(a.stdout)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}
