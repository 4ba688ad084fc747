package main

import (
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newMan(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "man [COMMAND...]",
		Short:   "Print the manual page of loopcheck or of a subcommand",
		Example: "  loopcheck man | man -l -\n  loopcheck man report render > loopcheck-report-render.1",
		RunE: func(cmd *cobra.Command, args []string) error {
			page, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return usagef("no command %q: see `loopcheck --help` for every command", strings.Join(args, " "))
			}
			page.DisableAutoGenTag = true // it would date the page by the day it was printed
			return doc.GenMan(page, &doc.GenManHeader{Section: "1", Source: "loopcheck " + tool().Version, Manual: "loopcheck"}, a.stdout)
		},
	}
}
