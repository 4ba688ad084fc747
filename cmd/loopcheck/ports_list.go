package main

import "github.com/spf13/cobra"

func newPortsList(a *app) *cobra.Command { return &cobra.Command{Use: "list"} }
