package main

import (
	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/fleet"
	"github.com/loopcheck/loopcheck/harness/folder"
)

func newMerge(a *app) *cobra.Command {
	var out string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "merge FILE|DIR...",
		Short: "Join the reports of many machines: what fails where, and who is slow",
		Long: `Merge reads the report.json of each machine and tells which checks fail, warn or
differ on which of them, what that goes with (kernel, CPU, OS, virtualization,
container), and which machines are outliers in a benchmark among those with the
same processors. A folder stands for every .json file in it and below it. Of a
machine with several reports the newest counts; a file that is no report is
listed with the reason.`,
		Example: "  loopcheck report merge web-1.json web-2.json\n  loopcheck report merge collected --out fleet.html",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("report merge takes report.json files, or folders of them: see `loopcheck report merge --help`")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOut(out); err != nil {
				return err
			}
			f, err := fleet.Load(args)
			if err != nil {
				return &usageError{err}
			}
			if len(f.Machines) == 0 {
				if len(f.Unreadable) == 0 {
					return usagef("%s: no file in it ends in .json", args[0])
				}
				return usagef("no report could be read: %s: %s", f.Unreadable[0].Path, f.Unreadable[0].Reason)
			}
			if out != "" {
				if err := folder.Write(out, f.HTML); err != nil {
					return err
				}
			}
			if asJSON {
				return f.JSON(a.stdout)
			}
			return f.Text(a.stdout, columns(a.stdout))
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "also write one page for people to `FILE`, such as fleet.html")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document instead of the summary")
	return cmd
}
