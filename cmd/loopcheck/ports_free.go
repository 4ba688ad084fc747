package main

import "github.com/spf13/cobra"

func newPortsFree(a *app) *cobra.Command { return &cobra.Command{Use: "free"} }
