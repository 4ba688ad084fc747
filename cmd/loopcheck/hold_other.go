//go:build !linux

package main

import (
	"errors"
	"fmt"

	"github.com/loopcheck/loopcheck/probe/freeport"
	"github.com/loopcheck/loopcheck/probe/sock"
)

func findProgram(string) (string, error) {
	return "", fmt.Errorf("--hold: %w: leave it out", errors.ErrUnsupported)
}

func handOver(string, []string, []*freeport.Port, []sock.Kind) error { return errors.ErrUnsupported }

func holdMain() {}
