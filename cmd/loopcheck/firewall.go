package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func newFirewall(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "firewall",
		Short: "Ask a firewall about every port, and which rule decides",
		Long: `Firewall loads rules into a private network namespace, sends packets to every
port there, from the machine itself and from the zones around it, and says which
get through and which rule decided. Nothing on this machine is changed, and where
user namespaces are allowed it needs no root.`,
		Args: noSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFirewallMap(a))
	cmd.AddCommand(newFirewallSnapshot(a), newFirewallDiff(a))
	return cmd
}

// maxRulesBytes is far above any ruleset written by hand or by a program.
const maxRulesBytes = 64 << 20

// readRules reads the rules that a flag names: a file, "-" for the standard
// input, or "live" for the machine's own.
func readRules(ctx context.Context, name string) (*firewall.Rules, error) {
	if name == firewall.Live {
		r, err := firewall.LiveRules(ctx)
		return r, rulesError(err)
	}
	f := ruleset.File{Name: name, Dir: filepath.Dir(name)}
	source := io.Reader(os.Stdin)
	if name == "-" {
		f.Name, f.Dir = "standard input", "."
	} else {
		file, err := os.Open(name)
		if err != nil {
			return nil, usagef("read --rules: %w", err)
		}
		defer func() { _ = file.Close() }()
		source = file
	}
	text, err := io.ReadAll(io.LimitReader(source, maxRulesBytes+1))
	if err != nil {
		return nil, usagef("read --rules: %w", err)
	}
	if len(text) > maxRulesBytes {
		return nil, usagef("%s: larger than %d MB: is it a ruleset?", f.Name, maxRulesBytes>>20)
	}
	f.Text = string(text)
	r, err := firewall.LoadRules(ctx, f)
	return r, rulesError(err)
}

// rulesError makes an error of the user's one of usage.
func rulesError(err error) error {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		return usagef("%w: %s", refused, refused.How)
	}
	if denied, ok := errors.AsType[*ruleset.PermissionError](err); ok {
		return usagef("--rules live: %w: run as root, or write the rules to a file", denied)
	}
	for _, theirs := range []any{new(*ruleset.FileError), new(*ruleset.MissingProgramError), new(*ruleset.RefusedError), new(*firewall.EmptyError), new(*firewall.UnknownZoneError)} {
		if errors.As(err, theirs) {
			return &usageError{err}
		}
	}
	return fmt.Errorf("ask the firewall: %w", err)
}
