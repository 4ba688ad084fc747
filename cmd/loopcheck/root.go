package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/term"
)

// app is what every subcommand shares.
type app struct {
	stdout, stderr io.Writer
	color          string
	// parsed is set once the command line and the configuration were
	// understood: what goes wrong before is the user's mistake.
	parsed bool
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "loopcheck",
		Short: "Verify this machine's loopback stack and write a report",
		Long: `loopcheck answers, in seconds and with evidence, whether this machine's TCP/IP
stack is sound and how fast its loopback is. It changes nothing on the machine
and sends traffic to the machine's own addresses only.

Each flag can also be set by an environment variable (LOOPCHECK_LABEL_FILTER
for --label-filter) or in a YAML file named by --config, in which the flags of a
subcommand stand below its name. Flags win over the environment, which wins
over the file.

Exit codes: 0 nothing failed; 1 a check or a policy failed, or something got worse;
2 the command line or the configuration is wrong; 3 loopcheck itself failed, or
nothing matched; 130 after SIGINT; 143 after SIGTERM.`,
		Example:       "  loopcheck run\n  loopcheck run --suite ping,tcp --json\n  loopcheck explain TCP-001",
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          noSubcommand,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := refuseEmpty(cmd); err != nil {
				return &usageError{err}
			}
			if err := applyConfiguration(cmd); err != nil {
				return &usageError{err}
			}
			if err := oneOf("--color", a.color, "auto", "always", "never"); err != nil {
				return &usageError{err}
			}
			a.parsed = true
			return nil
		},
	}
	root.PersistentFlags().StringVar(&a.color, "color", "auto", "colour the output: `WHEN` is auto, always or never; auto follows NO_COLOR")
	root.PersistentFlags().String("config", "", "read settings from a YAML `FILE`")
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(newRun(a), newList(a), newExplain(a), newPorts(a), newFirewall(a), newHTTP(a), newBench(a), newCompare(a), newBaseline(a), newReport(a), newServe(a), newVersion(a), newMan(a), newContainerService())
	return root
}

// noSubcommand refuses arguments of a command that only has subcommands.
func noSubcommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return usagef("unknown command %q: write one of %s", args[0], strings.Join(names, ", "))
}

// noArguments refuses arguments, naming the first.
func noArguments(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	return usagef("%s takes no argument, but was given %q: see `%s --help`", cmd.CommandPath(), args[0], cmd.CommandPath())
}

// flagError says which flags there are, or what one takes.
func flagError(cmd *cobra.Command, err error) error {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	if strings.HasPrefix(err.Error(), "unknown") {
		return usagef("%w: %s takes %s", err, cmd.CommandPath(), strings.Join(names, ", "))
	}
	if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		return usagef("--%s: %s", wrong.GetFlag().Name, misfit(wrong.GetFlag(), wrong.GetValue()))
	}
	return usagef("%w: see `%s --help`", err, cmd.CommandPath())
}

func oneOf(what, value string, allowed ...string) error {
	for _, a := range allowed {
		if value == a {
			return nil
		}
	}
	return fmt.Errorf("%s %q: write one of %s", what, value, strings.Join(allowed, ", "))
}

// terminalOf returns the descriptor of a stream that is a terminal able to move
// its cursor.
func terminalOf(w io.Writer) (fd int, ok bool) {
	f, isFile := w.(*os.File)
	if !isFile || os.Getenv("TERM") == "dumb" {
		return 0, false
	}
	fd = int(f.Fd())
	return fd, term.IsTerminal(fd)
}

// colored decides whether to colour what goes to a stream.
func (a *app) colored(w io.Writer) bool {
	switch a.color {
	case "always":
		return true
	case "never":
		return false
	}
	_, isTerminal := terminalOf(w)
	return isTerminal && os.Getenv("NO_COLOR") == ""
}

// columns is the width of a stream that is a terminal, or otherwise 80, which
// every log viewer shows.
func columns(w io.Writer) int {
	if fd, ok := terminalOf(w); ok {
		if width, _, err := term.GetSize(fd); err == nil && width > 0 {
			return width
		}
	}
	return 80
}
