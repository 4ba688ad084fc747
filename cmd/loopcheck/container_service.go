package main

import (
	"context"
	"os"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/diagnose"
	"github.com/loopcheck/loopcheck/probe/engine"
	"github.com/loopcheck/loopcheck/suites/containers"
)

// newContainerService is what runs in the containers of `run --engine`.
func newContainerService() *cobra.Command {
	return &cobra.Command{
		Use:    engine.ServiceCommand + " ADDRESS...",
		Short:  "Answer at addresses, and ask others as standard input says, until that ends",
		Hidden: true,
		RunE: func(cmd *cobra.Command, args []string) error {
			var listen []engine.Address
			for _, arg := range args {
				a, err := engine.ParseAddress(arg)
				if err != nil {
					return &usageError{err}
				}
				listen = append(listen, a)
			}
			return engine.Service(cmd.Context(), containers.InContainer, listen, os.Stdin, os.Stdout)
		},
	}
}

// declareEngine makes the checks of a real engine, where one is named.
func declareEngine(o runOptions) (*containers.Engined, error) {
	if o.engine == "" {
		return nil, nil
	}
	if err := oneOf("--engine", o.engine, engine.Names...); err != nil {
		return nil, &usageError{err}
	}
	if !o.selection.Includes(containers.Name) {
		return nil, usagef("--engine asks in the suite %s: add --suite %s, or --full", containers.Name, containers.Name)
	}
	e, err := engine.Find(context.Background(), o.engine)
	if err == nil {
		err = engine.Static("/proc/self/exe")
	}
	if err != nil {
		return nil, usagef("--engine: %w", err)
	}
	diagnose.EngineIsRootless(e.Rootless)
	return containers.DeclareEngine(e), nil
}
