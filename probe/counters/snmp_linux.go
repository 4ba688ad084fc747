package counters

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// procNet is that of the calling thread: /proc/net shows the namespace of the
// process's first thread, which may be another.
const procNet = "/proc/thread-self/net/"

// Read takes a snapshot of the calling thread's network namespace. The
// counters are not read at one instant. Without IPv6 in the kernel its groups
// are missing.
func Read() (Snapshot, error) {
	s := Snapshot{}
	tables := []struct {
		name     string
		parse    func(string) error
		optional bool
	}{
		{"snmp", s.parsePairs, false},
		{"netstat", s.parsePairs, false},
		{"snmp6", s.parseColumns, true},
	}
	for _, table := range tables {
		text, err := os.ReadFile(procNet + table.name)
		if table.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("reading protocol counters: %w", err)
		}
		if err := table.parse(string(text)); err != nil {
			return nil, fmt.Errorf("reading %s%s: %w", procNet, table.name, err)
		}
	}
	return s, nil
}
