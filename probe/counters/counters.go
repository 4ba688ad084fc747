// Package counters reads what the kernel counts by itself, so that a check can
// say what happened to a packet it never saw again: protocol counters, sockets
// and interfaces of a network namespace, and what the scheduler did meanwhile.
//
// Every source has a type, a function that reads it, a Sub that tells how far
// it moved since an earlier reading, and a String that lists what is not zero.
// All has them together. A reading is a copy: nothing changes it later. The
// kernel's counters are not read at one instant, so that two which belong
// together can differ by what happened in between.
//
// What this kernel was built or started without fails with an error that wraps
// fs.ErrNotExist or errors.ErrUnsupported; off Linux everything fails with the
// latter.
package counters

import (
	"fmt"
	"strings"
	"time"
)

// procNet is that of the calling thread: /proc/net shows the namespace of the
// process's first thread, which may be another.
const procNet = "/proc/thread-self/net/"

// readAs reads a file and takes its text apart. What it tells goes into the
// error of a file that cannot be read.
func readAs[T any](tells, path string, parse func(string) (T, error)) (T, error) {
	var none T
	text, err := readFile(path)
	if err != nil {
		return none, fmt.Errorf("reading %s: %w", tells, err)
	}
	value, err := parse(text)
	if err != nil {
		return none, fmt.Errorf("reading %s: %w", path, err)
	}
	return value, nil
}

// since is how far a counter has moved; one that went back has not.
func since[T uint64 | time.Duration](now, earlier T) T {
	if now < earlier {
		return 0
	}
	return now - earlier
}

// list names values, leaving out what is zero.
type list []string

func add[T comparable](l *list, name string, value T) {
	var zero T
	if value != zero {
		*l = append(*l, fmt.Sprintf("%s %v", name, value))
	}
}

// addGroup lists what belongs to one processor, interface or thread.
func (l *list) addGroup(name string, values fmt.Stringer) {
	if text := values.String(); text != "" {
		*l = append(*l, fmt.Sprintf("%s (%s)", name, text))
	}
}

func (l list) String() string { return strings.Join(l, ", ") }

// short keeps a malformed line from filling the error.
func short(text string) string {
	const enough = 40
	text = strings.TrimSpace(text)
	if len(text) > enough {
		return text[:enough] + "…"
	}
	return text
}
