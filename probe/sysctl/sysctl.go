// Package sysctl reads settings of the kernel as they stand, and changes those of
// sandboxes.
package sysctl

import (
	"fmt"
	"os"
	"strings"
)

// Read returns the value of a setting by its dotted name, such as
// "net.ipv4.ip_default_ttl", without blanks around it. Settings below net are
// those of the calling thread's network namespace. The error wraps
// fs.ErrNotExist where the kernel has no such setting, as on every system but
// Linux (Documentation/admin-guide/sysctl).
func Read(name string) (string, error) {
	value, err := os.ReadFile("/proc/sys/" + strings.ReplaceAll(name, ".", "/"))
	if err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return strings.TrimSpace(string(value)), nil
}

// Set gives a setting a value. It is for namespaces of one's own, in which
// settings below net change nothing on the machine.
func Set(name, value string) error {
	if err := os.WriteFile("/proc/sys/"+strings.ReplaceAll(name, ".", "/"), []byte(value), 0); err != nil {
		return fmt.Errorf("set %s to %q: %w", name, value, err)
	}
	return nil
}
