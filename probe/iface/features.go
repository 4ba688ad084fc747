package iface

import "strings"

// Feature is one offload of an interface (ethtool(8), --show-features; the
// kernel's Documentation/networking/netdev-features.rst).
type Feature struct {
	// On says that it is in force.
	On bool
	// Fixed says that nobody can change it.
	Fixed bool
}

// String is "on" or "off", and "on [fixed]" as ethtool(8) prints it.
func (f Feature) String() string {
	text := "off"
	if f.On {
		text = "on"
	}
	if f.Fixed {
		text += " [fixed]"
	}
	return text
}

// featureName is the kernel's name out of a field of fixed length.
func featureName(field []byte) string {
	name, _, _ := strings.Cut(string(field), "\x00")
	return name
}
