//go:build !linux

package bench

import "os"

func ownPath() (string, error) { return os.Executable() }

// startOn runs start: placements other than free are Linux's.
func startOn(_ int, start func() error) error { return start() }

// confined runs f.
func confined(_ int, f func() error) error { return f() }
