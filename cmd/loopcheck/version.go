package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/report"
)

// version and commit are set by the Makefile through -ldflags -X. A binary
// built by `go install` has them from its build information.
var (
	version = ""
	commit  = ""
)

// tool says which loopcheck this is.
func tool() report.Tool {
	t := report.Tool{Version: version, Commit: commit, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return t
	}
	if t.Version == "" {
		t.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && t.Commit == "" {
			t.Commit = s.Value
		}
	}
	return t
}

func newVersion(a *app) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  noArguments,
		RunE: func(*cobra.Command, []string) error {
			t := tool()
			if asJSON {
				return writeJSON(a.stdout, t)
			}
			_, err := fmt.Fprintf(a.stdout, "loopcheck %s (commit %s, %s %s/%s)\n", t.Version, orUnknown(t.Commit), t.Go, runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return cmd
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
