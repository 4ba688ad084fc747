//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "faultlab: private stacks are Linux's own")
	os.Exit(2)
}
