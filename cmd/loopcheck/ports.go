package main

import "github.com/spf13/cobra"

func newPorts(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "ports",
		Short: "Ports: scan them, see who listens, audit that, find a free one",
		Long: `Ports asks this machine about its own ports. Scan asks the stack what each port
answers; list says who listens; audit holds that against what was meant; free
finds a port that nobody has.`,
		Args: noSubcommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPortsScan(a))
	cmd.AddCommand(newPortsList(a))
	cmd.AddCommand(newPortsAudit(a))
	cmd.AddCommand(newPortsFree(a))
	return cmd
}
