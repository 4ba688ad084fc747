package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/run"
	"github.com/loopcheck/loopcheck/suites/database"
)

// databaseSuite is the one that asks the user's own servers.
const databaseSuite = "database"

// databases are the user's own servers; "" for those of the run.
type databases struct {
	postgres, redis string
	// shown are the flags with what the report says in the place of their values,
	// which may hold passwords.
	shown map[string]string
}

func (d *databases) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&d.postgres, "postgres", "", "have the suite database ask your own PostgreSQL on this machine, by its `DSN`, in the place of one started for the run")
	cmd.Flags().StringVar(&d.redis, "redis", "", "have the suite database ask your own Redis on this machine: HOST:PORT, a URL, or the path of a unix socket as `ADDRESS`")
}

// use has the suite ask the user's servers, and selects it where no suite is named.
func (d *databases) use(s *run.Selection) error {
	d.shown = map[string]string{}
	if d.postgres != "" {
		server, err := database.UsePostgres(d.postgres)
		if err != nil {
			return &usageError{fmt.Errorf("--postgres: %w", err)}
		}
		d.shown["--postgres"] = server.String()
	}
	if d.redis != "" {
		server, err := database.UseRedis(d.redis)
		if err != nil {
			return &usageError{fmt.Errorf("--redis: %w", err)}
		}
		d.shown["--redis"] = server.String()
	}
	switch {
	case len(d.shown) == 0:
	case len(s.Suites) == 0:
		s.Requested = append(s.Requested, databaseSuite)
	case !slices.Contains(s.Suites, databaseSuite):
		return usagef("--postgres and --redis are for the suite %s: add it to --suite", databaseSuite)
	}
	return nil
}

// command is a command line as the report shows it.
func (d *databases) command(args []string) []string {
	for flag, text := range d.shown {
		args = withValues(args, flag, func(string) string { return text })
	}
	return args
}
