// Package tuning answers which settings of the kernel that change how loopback
// behaves are off their default, and which of those are known to hurt what runs
// on it. It reads and compares; it sets nothing.
//
// Source of the settings and their meaning: Documentation/networking/ip-sysctl.rst,
// nf_conntrack-sysctl.rst, Documentation/admin-guide/sysctl/net.rst.
package tuning

import (
	"context"
	"slices"
	"strings"
)

// Setting is one sysctl.
type Setting struct {
	// Name is dotted, such as "net.ipv4.tcp_sack".
	Name string
	// Default is what the kernel has by itself where a fresh network namespace
	// does not tell it; empty where that depends on the machine's memory.
	Default string
	// Does says what a value that hurts does, as a sentence that could follow
	// "with it, ". It is empty where no value is known to hurt.
	Does string
	// Note stands with the command that sets the default again; mostly empty.
	Note string
	// Along are settings that have to be set back in the same command, after
	// this one, because the kernel keeps them apart.
	Along []string

	hurts func(value string, read Reader) bool
}

// Reader returns the value of a setting, or an error where the kernel has none
// such.
type Reader func(name string) (string, error)

// Reading is a setting as it was found.
type Reading struct {
	Setting
	Value string
	// Usual is what it would be by itself, From how that is known. Usual is
	// empty where neither a fresh namespace nor the documentation tells it.
	Usual, From string
	// Hurts says that the value is known to break or slow something.
	Hurts bool
}

// Differs says whether the value is another than the kernel's own.
func (r Reading) Differs() bool { return r.Usual != "" && r.Value != r.Usual }

// Known returns every setting that is looked at, sorted by topic.
func Known() []Setting { return slices.Clone(known) }

// Lookup returns a known setting.
func Lookup(name string) (Setting, bool) {
	for _, s := range known {
		if s.Name == name {
			return s, true
		}
	}
	return Setting{}, false
}

// Hurts says whether a value of the setting is known to break or slow
// something. Some do so only beside others, which are read.
func (s Setting) Hurts(value string, read Reader) bool {
	return s.hurts != nil && s.hurts(plain(value), read)
}

// Examine reads the settings named, or every one that is known, and compares
// each with what the running kernel would have by itself. Those that this
// kernel lacks, or does not show, are left out.
func Examine(ctx context.Context, read Reader, names ...string) []Reading {
	var readings []Reading
	for _, s := range known {
		if len(names) > 0 && !slices.Contains(names, s.Name) {
			continue
		}
		value, err := read(s.Name)
		if err != nil {
			continue
		}
		r := Reading{Setting: s, Value: plain(value)}
		r.Hurts = s.Hurts(r.Value, read)
		r.Usual, r.From = s.usual(ctx, read)
		readings = append(readings, r)
	}
	return readings
}

// usual is what the setting would be by itself. A fresh namespace tells it, but
// not where it took over a value that hurts from the machine.
func (s Setting) usual(ctx context.Context, read Reader) (value, from string) {
	if value := Fresh(ctx)[s.Name]; value != "" && !s.inherited() && !s.Hurts(value, read) {
		return value, "what this kernel gives to a fresh network namespace"
	}
	return s.Default, "the kernel's default"
}

// inherited are those whose value in a fresh network namespace is the
// machine's own (devconf_inherit_init_net, admin-guide/sysctl/net.rst).
func (s Setting) inherited() bool {
	return strings.HasPrefix(s.Name, "net.ipv4.conf.") || strings.HasPrefix(s.Name, "net.ipv6.conf.") ||
		slices.Contains(machineWide, s.Name)
}

// machineWide are settings that a namespace shares with the machine.
var machineWide = []string{"net.core.rmem_default", "net.core.wmem_default"}

// plain has one blank between the numbers of a setting that has several.
func plain(value string) string { return strings.Join(strings.Fields(value), " ") }
