package leftovers

import (
	"fmt"
	"os"
	"strings"
)

// readMounts lists the mounts of the calling thread's mount namespace, and by
// the link text of a namespace where it is pinned by a bind mount.
func readMounts() (a area, pins map[string][]string) {
	content, err := os.ReadFile("/proc/thread-self/mountinfo")
	if err != nil {
		return blindArea(err.Error()), nil
	}
	a, pins = newArea(), map[string][]string{}
	for line := range strings.Lines(string(content)) {
		m, ok := parseMount(line)
		if !ok {
			continue
		}
		if m.filesystem == "nsfs" {
			pins[m.root] = append(pins[m.root], m.point)
		}
		name := fmt.Sprintf("%s of %s (%s) on %s", m.root, m.source, m.filesystem, m.point)
		a.add(name, entry{name: name, value: m.options, lasting: true})
	}
	return a, pins
}

type mount struct{ root, point, options, filesystem, source string }

// parseMount reads a line as proc_pid_mountinfo(5) describes it. Of the
// propagation the peer group's number is left out: it is given out anew.
func parseMount(line string) (mount, bool) {
	head, tail, ok := strings.Cut(strings.TrimSpace(line), " - ")
	fields, rest := strings.Fields(head), strings.Fields(tail)
	if !ok || len(fields) < 6 || len(rest) < 2 {
		return mount{}, false
	}
	m := mount{root: fields[3], point: unescape(fields[4]), options: fields[5], filesystem: rest[0], source: rest[1]}
	for _, propagation := range fields[6:] {
		how, _, _ := strings.Cut(propagation, ":")
		m.options += "," + how
	}
	m.options += " " + strings.Join(rest[2:], " ")
	return m, true
}

// unescape undoes the octal escapes of space, tab, newline and backslash.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
