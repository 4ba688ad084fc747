package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/bench/export"
	"github.com/loopcheck/loopcheck/harness/folder"
	"github.com/loopcheck/loopcheck/harness/report"
)

// benchOutput is where the figures go, and in which form.
type benchOutput struct {
	json   bool
	format string
	file   string
}

// benchFormatNames are the values of --format.
var benchFormatNames = []string{"text", "json", "html", "benchfmt", "csv", "openmetrics"}

func (o *benchOutput) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.BoolVar(&o.json, "json", false, "print one JSON document, with every restart and the whole distribution")
	f.StringVar(&o.format, "format", "", "print, or with --out write, `FORMAT`: text, json, html (a page with charts), benchfmt (which benchstat reads), csv, openmetrics")
	f.StringVar(&o.file, "out", "", "write `FILE`, as JSON unless --format says otherwise, and print the table")
}

// check finds mistakes before anything is measured.
func (o *benchOutput) check() error {
	if o.format != "" {
		if err := oneOf("--format", o.format, benchFormatNames...); err != nil {
			return err
		}
	}
	if o.file == "" {
		if o.json && o.format != "" && o.format != "json" {
			return fmt.Errorf("--json and --format %s: write one of them, or --out FILE for the second", o.format)
		}
		return nil
	}
	if err := replaceable(o.file); err != nil {
		return fmt.Errorf("--out: %w: choose another file", err)
	}
	return nil
}

// replaceable says why a file cannot be written in the place of what is there.
func replaceable(path string) error {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is no regular file", path)
	}
	probe, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// formatted is the writer of a format; the style is that of text.
func formatted(run *report.BenchRun, format string, style report.Style) func(io.Writer) error {
	switch format {
	case "json":
		return export.JSON(run.Export())
	case "html":
		return report.BenchHTML(run)
	case "benchfmt":
		return export.Benchfmt(run.Export())
	case "csv":
		return export.CSV(run.Export())
	case "openmetrics":
		return export.OpenMetrics(run.Export())
	}
	return report.BenchText(run, style)
}

// write writes the file, as a whole or not at all.
func (o *benchOutput) write(run *report.BenchRun) error {
	if o.file == "" {
		return nil
	}
	return folder.Write(o.file, formatted(run, cmp.Or(o.format, "json"), report.Style{}))
}

// print prints what goes to stdout.
func (o *benchOutput) print(a *app, run *report.BenchRun) error {
	format := o.format
	switch {
	case o.json:
		format = "json"
	case o.file != "":
		format = "text"
	}
	return formatted(run, format, report.Style{Color: a.colored(a.stdout), Width: columns(a.stdout)})(a.stdout)
}
