//go:build !linux

package bench

// stay does nothing: where threads cannot be kept on a processor, all are free.
func stay(int) error { return nil }
