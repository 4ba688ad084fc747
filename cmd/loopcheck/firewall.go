package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/firewall"
	"github.com/loopcheck/loopcheck/firewall/policy"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func newFirewall(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "firewall",
		Short: "Ask a firewall about every port, and which rule decides",
		Long: `Firewall loads rules into a private network namespace, sends packets to every
port there, from the machine itself and from the zones around it, and says which
get through and which rule decided. A policy says what ought to get through: it is
checked, and so is what it leaves untested. Nothing on this machine is changed,
and where user namespaces are allowed it needs no root.`,
		Args: noSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFirewallMap(a), newFirewallCheck(a), newFirewallCoverage(a), newFirewallMutate(a), newFirewallSnapshot(a), newFirewallDiff(a))
	return cmd
}

// maxRulesBytes is far above any ruleset written by hand or by a program.
const maxRulesBytes = 64 << 20

// readRules reads the rules that a flag names: a file, "-" for the standard
// input, or "live" for the machine's own.
func readRules(ctx context.Context, name string) (*firewall.Rules, error) {
	return loadRules(ctx, "--rules", name)
}

// loadRules reads the rules that a flag or a policy names, which stands in the
// errors: several files, or what a flag may name.
func loadRules(ctx context.Context, where string, names ...string) (*firewall.Rules, error) {
	if slices.Equal(names, []string{firewall.Live}) {
		r, err := firewall.LiveRules(ctx)
		return r, rulesError(err)
	}
	var files []ruleset.File
	for _, name := range names {
		f, err := readRulesFile(ctx, name)
		if err != nil {
			return nil, usagef("%s: %w", where, err)
		}
		files = append(files, f)
	}
	r, err := firewall.LoadRules(ctx, files...)
	return r, rulesError(err)
}

// readRulesFile reads one file, or the standard input where its name is "-".
func readRulesFile(ctx context.Context, name string) (ruleset.File, error) {
	f := ruleset.File{Name: name, Dir: filepath.Dir(name)}
	if name == "-" {
		f.Name, f.Dir = standardInput, "."
	}
	text, err := unlessEnded(ctx, func() ([]byte, error) {
		if name == "-" {
			return readRoom(os.Stdin)
		}
		file, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer func() { _ = file.Close() }()
		return readRoom(file)
	})
	if err != nil {
		return f, err
	}
	if len(text) > maxRulesBytes {
		return f, fmt.Errorf("%s: larger than %d MB: is it a ruleset?", f.Name, maxRulesBytes>>20)
	}
	f.Text = string(text)
	return f, nil
}

// readRoom reads as much as rules may have, and a byte more where there is more.
func readRoom(source io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(source, maxRulesBytes+1))
}

// unlessEnded is what f returns, until the context ends: a terminal or a pipe may
// give nothing for ever, and not even be opened.
func unlessEnded[T any](ctx context.Context, f func() (T, error)) (T, error) {
	type outcome struct {
		result T
		err    error
	}
	ended := make(chan outcome, 1)
	go func() {
		result, err := f()
		ended <- outcome{result, err}
	}()
	select {
	case o := <-ended:
		return o.result, o.err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// standardInput is what a file is called that is read from there.
const standardInput = "standard input"

// readPolicy reads a policy, from the standard input where its name is "-", and
// its rules.
func readPolicy(ctx context.Context, name string) (*policy.Policy, *firewall.Rules, error) {
	p, err := unlessEnded(ctx, func() (*policy.Policy, error) {
		if name == "-" {
			return policy.Read(standardInput, io.LimitReader(os.Stdin, maxRulesBytes))
		}
		return policy.ReadFile(name)
	})
	if err != nil {
		return nil, nil, &usageError{err}
	}
	rules, err := loadRules(ctx, p.Path+": rules", p.Rules...)
	return p, rules, err
}

// onePolicy asks for the one argument of the commands that take a policy.
func onePolicy(cmd *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return usagef("%s takes one policy, such as policy.yaml, or - for the standard input: see `%s --help`", cmd.CommandPath(), cmd.CommandPath())
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
		return usagef("the rules of this machine: %w: run as root, or write the rules to a file", denied)
	}
	for _, theirs := range []any{new(*ruleset.FileError), new(*ruleset.MissingProgramError), new(*ruleset.RefusedError), new(*firewall.EmptyError), new(*firewall.UnknownZoneError)} {
		if errors.As(err, theirs) {
			return &usageError{err}
		}
	}
	return fmt.Errorf("ask the firewall: %w", err)
}
