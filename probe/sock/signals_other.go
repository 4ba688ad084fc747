//go:build !linux

package sock

// Undisturbed calls f, on Linux without the interruptions of signals.
func Undisturbed(f func() error) error { return f() }
