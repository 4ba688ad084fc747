package main

import "github.com/spf13/cobra"

func newPortsScan(a *app) *cobra.Command { return &cobra.Command{Use: "scan"} }
