package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/history"
	"github.com/loopcheck/loopcheck/harness/journal"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

func newReport(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "report",
		Short: "Work with reports",
		Args:  noSubcommand,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRender(a), newIndex(a), newMerge(a))
	return cmd
}

func newRender(a *app) *cobra.Command {
	var into, format, out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "render FILE",
		Short: "Make the reports from the journal of a run, or from report.json",
		Long: `Render reads journal.jsonl or report.json of a run and writes report.json,
report.html and report.junit.xml beside it, or into another folder. A journal
whose run was killed gives a report of every check that had ended, marked
interrupted.

Of what ` + "`loopcheck bench --json` or `loopcheck bench ladder --json`" + ` wrote it makes a
page with charts that has the name of the file: bench.html of bench.json.

With --format it writes the report in that one format instead, to stdout or to
the file that --out names, which is replaced as a whole or not at all:

  json         everything, as docs/report.schema.json describes it
  jsonl        an object a line: the run, each check, benchmark and listener
  html         a page for people
  junit        JUnit XML, for Jenkins, GitLab and others
  openmetrics  for Prometheus, and the textfile collector of its node_exporter
  github       annotations of GitHub Actions
  markdown     a summary, as GITHUB_STEP_SUMMARY takes it
  csv          a row a check and benchmark, for spreadsheets`,
		Example: "  loopcheck report render reports/latest/journal.jsonl\n  loopcheck report render ladder.json\n  loopcheck report render --format markdown reports/latest/report.json >> \"$GITHUB_STEP_SUMMARY\"",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return usagef("report render takes one file, such as the journal.jsonl or report.json of a run: see `loopcheck report render --help`")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case format == "" && out != "":
				return usagef("--out takes the file of one format: name it with --format, or a folder for all with --into")
			case format != "" && into != "":
				return usagef("--into takes the folder of all reports: with --format write --out FILE")
			case format != "" && asJSON:
				return usagef("--json prints JSON: leave it out, or write --format json")
			case format != "":
				if err := oneOf("--format", format, reportFormats()...); err != nil {
					return &usageError{err}
				}
			}
			if err := checkOut(out); err != nil {
				return err
			}
			document, err := readDocument(args[0])
			if err != nil {
				return &usageError{err}
			}
			if document.Report == nil {
				return a.renderFigures(document, args[0], renderTo{into, format, out, asJSON})
			}
			r := document.Report
			switch {
			case format != "" && out == "":
				return inFormat(format, r)(a.stdout)
			case format != "":
				return folder.Write(out, inFormat(format, r))
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
	cmd.Flags().StringVar(&format, "format", "", "write the report in one `FORMAT` to stdout: "+strings.Join(reportFormats(), ", "))
	cmd.Flags().StringVar(&out, "out", "", "with --format, write to `FILE` instead of stdout")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as one JSON document instead of the summary")
	return cmd
}

func newIndex(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "index [DIR]",
		Short: "Make the page of all runs in a reports folder",
		Long: `Index writes index.html into a reports folder, ` + "`reports`" + ` by default: every run
with its verdict, and what became of each check and benchmark over the runs, with
the change points marked. The report.json files are all it needs; one that is
damaged or foreign is listed with the reason. What it found in them is kept in
the file .runs beside, for the next time. A run writes the page as well.`,
		Example: "  loopcheck report index\n  loopcheck report index /var/tmp/reports",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("report index takes one reports folder: see `loopcheck report index --help`")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			reports := "reports"
			if len(args) == 1 {
				reports = args[0]
			}
			h, err := history.Write(reports)
			switch {
			case h == nil:
				return &usageError{err}
			case errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS):
				return usagef("%w: the page is written into the folder of the reports", err)
			case err != nil:
				return err
			}
			_, err = fmt.Fprintf(a.stdout, "%d runs, %d unreadable: %s\n",
				len(h.Runs), len(h.Unreadable), terminal.Harmless(filepath.Join(reports, history.Index)))
			return err
		},
	}
}

// readDocument reads a journal, by its ending, or otherwise a JSON document.
func readDocument(path string) (*report.Document, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	var document *report.Document
	if strings.HasSuffix(path, filepath.Ext(folder.Journal)) {
		var r *report.Report
		r, err = journal.Read(f)
		document = &report.Document{Report: r}
	} else {
		document, err = report.ReadDocument(f)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return document, nil
}

// renderTo is where a rendering goes, and in which form.
type renderTo struct {
	into, format, out string
	json              bool
}

// renderFigures makes the page of benchmarks or of a ladder, which have no other
// form here.
func (a *app) renderFigures(document *report.Document, path string, to renderTo) error {
	var sentence string
	var page func(io.Writer) error
	if document.Bench != nil {
		sentence, page = document.Bench.Sentence(), report.BenchHTML(document.Bench)
	} else {
		sentence, page = document.Ladders.Sentence(), report.LaddersHTML(document.Ladders)
	}
	switch {
	case to.json || to.format != "" && to.format != "html":
		return usagef("%s holds benchmarks without checks, of which a page is made: leave --json out, and --format or write --format html", path)
	case to.out != "":
		return folder.Write(to.out, page)
	case to.format != "":
		return page(a.stdout)
	}
	file := strings.TrimSuffix(path, filepath.Ext(path)) + ".html"
	if to.into != "" {
		if err := os.MkdirAll(to.into, 0o755); err != nil {
			return usagef("--into: %w: choose another folder", err)
		}
		file = filepath.Join(to.into, filepath.Base(file))
	}
	if err := folder.Write(file, page); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return usagef("%w: choose another folder with --into", err)
		}
		return err
	}
	_, err := fmt.Fprintf(a.stdout, "%s\nPage: %s\n", terminal.Harmless(sentence), terminal.Harmless(file))
	return err
}
