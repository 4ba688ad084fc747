//go:build !linux

package process

// Refusals finds none: seccomp is Linux's own.
func Refusals() []Refusal { return nil }
