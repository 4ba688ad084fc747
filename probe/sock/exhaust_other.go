//go:build !linux

package sock

func WithoutDescriptors(func() error) error { return errUnsupported }
