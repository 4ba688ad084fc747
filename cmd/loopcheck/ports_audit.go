package main

import "github.com/spf13/cobra"

func newPortsAudit(a *app) *cobra.Command { return &cobra.Command{Use: "audit"} }
