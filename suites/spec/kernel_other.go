//go:build !linux

package spec

// kernelRelease is empty: the checks that go by it are Linux's own.
func kernelRelease() string { return "" }
