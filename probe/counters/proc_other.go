//go:build !linux

package counters

import (
	"errors"
	"io/fs"
)

// readFile fails with errors.ErrUnsupported: where another system has a /proc,
// it is not this one.
func readFile(path string) (string, error) {
	return "", &fs.PathError{Op: "open", Path: path, Err: errors.ErrUnsupported}
}

func readNames(folder string) ([]string, error) {
	return nil, &fs.PathError{Op: "open", Path: folder, Err: errors.ErrUnsupported}
}
