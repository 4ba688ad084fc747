package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/journal"
	"github.com/loopcheck/loopcheck/harness/report"
)

func newReport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Work with reports",
		Args:  noSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRender(a))
	return cmd
}

func newRender(a *app) *cobra.Command {
	var into string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "render FILE",
		Short: "Make the reports from the journal of a run, or from report.json",
		Long: `Render reads journal.jsonl or report.json of a run and writes report.json,
report.html and report.junit.xml beside it, or into another folder. A journal
whose run was killed gives a report of every check that had ended, marked
interrupted.`,
		Example: "  loopcheck report render reports/latest/journal.jsonl",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("report render takes one file, the journal.jsonl or report.json of a run: see `loopcheck report render --help`")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := readReport(args[0])
			if err != nil {
				return &usageError{err}
			}
			if into == "" {
				into = filepath.Dir(args[0])
			}
			if err := os.MkdirAll(into, 0o755); err != nil {
				return usagef("--into: %w: choose another folder", err)
			}
			names := []string{folder.HTML, folder.JUnit}
			if filepath.Base(args[0]) != folder.JSON || filepath.Clean(into) != filepath.Dir(args[0]) {
				// A report.json stays as it is: a later version may have written
				// more into it than this one knows of.
				names = append(names, folder.JSON)
			}
			if err := writeReports(into, r, names...); err != nil {
				if errors.Is(err, fs.ErrPermission) {
					return usagef("%w: choose another folder with --into", err)
				}
				return err
			}
			return a.printReport(asJSON, r, filepath.Join(into, folder.HTML))
		},
	}
	cmd.Flags().StringVar(&into, "into", "", "write the reports into `DIR` (default: beside FILE)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as one JSON document instead of the summary")
	return cmd
}

// readReport reads a journal, by its ending, or otherwise a report.
func readReport(path string) (*report.Report, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	read := report.Read
	if strings.HasSuffix(path, filepath.Ext(folder.Journal)) {
		read = journal.Read
	}
	r, err := read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
