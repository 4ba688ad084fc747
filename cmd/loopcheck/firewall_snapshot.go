package main

import (
	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/firewall"
)

func newFirewallSnapshot(a *app) *cobra.Command {
	var source mapSource
	cmd := &cobra.Command{
		Use:   "snapshot",
		Short: "Write the verdict of every port down, to compare with later",
		Long: `Snapshot prints what "firewall map --json" does, by default of a copy of this
machine's rules, which takes root. "firewall diff" compares two of them.`,
		Example: "  loopcheck firewall snapshot > base.json\n  loopcheck firewall snapshot --rules /etc/nftables.conf --from outside > base.json\n  loopcheck firewall snapshot --live > base.json",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			if err := source.check(); err != nil {
				return err
			}
			if source.rules == "" {
				source.rules = firewall.Live
			}
			return a.firewallSnapshot(source)
		},
	}
	source.flags(cmd.Flags())
	return cmd
}

func (a *app) firewallSnapshot(source mapSource) error {
	ctx, stop := interruptible()
	maps, err := a.maps(ctx, source)
	if err != nil {
		return stop.or(err)
	}
	stop.enter(printing)
	return ignoreClosedPipe(writeJSON(a.stdout, maps))
}
