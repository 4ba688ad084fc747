package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/run"
)

func newList(a *app) *cobra.Command {
	selection := run.Selection{Full: true}
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List every check: ID, title, what it needs",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			checks, err := selection.Plan()
			if err != nil {
				return selectionError(err)
			}
			if asJSON {
				return writeJSON(a.stdout, checks)
			}
			return printList(a.stdout, checks)
		},
	}
	selectionFlags(cmd, &selection)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document: an array of checks")
	return cmd
}

func printList(w io.Writer, checks []check.Check) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "ID\tNEEDS\tTITLE")
	for _, c := range checks {
		title := c.Title
		if c.Slow {
			title += " (slow: with --full)"
		}
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", c.ID, needs(c), title)
	}
	return table.Flush()
}

// needs names what a check takes, "-" for nothing.
func needs(c check.Check) string {
	var names []string
	if c.OS != "" {
		names = append(names, check.Linux.Name)
	}
	for _, n := range c.Needs {
		names = append(names, n.Name)
	}
	if len(names) == 0 {
		return "-"
	}
	return strings.Join(names, ", ")
}

// writeJSON writes exactly one document.
func writeJSON(w io.Writer, value any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(value)
}
