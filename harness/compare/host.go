package compare

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
)

// absent stands for a setting that one side does not have.
const absent = "none"

// hostDifferences are the facts that differ, those that change latency most first.
// What one side does not tell is not compared.
func hostDifferences(base, after *report.Report) []Difference {
	found := []Difference{}
	add := func(what, before, now string) {
		if before != "" && now != "" && before != now {
			found = append(found, Difference{what, before, now})
		}
	}
	a, b := base.Host, after.Host
	add("host name", a.Hostname, b.Hostname)
	add("kernel", a.Kernel, b.Kernel)
	add("architecture", a.Arch, b.Arch)
	add("processors", processors(a.CPUs), processors(b.CPUs))
	add("virtualization", a.Virtualization, b.Virtualization)
	if a.Kernel != "" && b.Kernel != "" { // else nothing was read, and no container means nothing
		add("container", orAbsent(a.Container), orAbsent(b.Container))
	}
	add("clock source", a.ClockSource, b.ClockSource)
	add("idle driver", a.Idle.Driver, b.Idle.Driver)
	add("idle governor", a.Idle.Governor, b.Idle.Governor)
	add("guest_halt_poll_ns", a.Idle.GuestHaltPollNS, b.Idle.GuestHaltPollNS)
	add("frequency governor", a.Idle.Frequency, b.Idle.Frequency)
	add("operating system", a.OS, b.OS)
	for _, name := range slices.Sorted(maps.Keys(a.Limits)) {
		if now, told := b.Limits[name]; told {
			add("limit "+name, limitText(a.Limits[name]), limitText(now))
		}
	}
	add("loopcheck", base.Tool.Version, after.Tool.Version)
	return found
}

func orAbsent(text string) string {
	if text == "" {
		return absent
	}
	return text
}

// processors are the models, each with how many there are of it.
func processors(cpus []host.CPU) string {
	count := map[string]int{}
	for _, c := range cpus {
		count[c.Model]++
	}
	var parts []string
	for _, model := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, strings.TrimSpace(fmt.Sprintf("%d × %s", count[model], model)))
	}
	return strings.Join(parts, ", ")
}

func limitText(l host.Limit) string {
	one := func(v int64) string {
		if v < 0 {
			return "unlimited"
		}
		return fmt.Sprint(v)
	}
	if l.Soft == l.Hard {
		return one(l.Soft)
	}
	return one(l.Soft) + " of " + one(l.Hard)
}

// settingsDifferences are the sysctls that differ, and those that only one side
// has, where both were read.
func settingsDifferences(base, after map[string]string) []Difference {
	found := []Difference{}
	if len(base) == 0 || len(after) == 0 {
		return found
	}
	names := map[string]bool{}
	for name := range base {
		names[name] = true
	}
	for name := range after {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		before, had := base[name]
		now, has := after[name]
		if had && has && before == now {
			continue
		}
		if !had {
			before = absent
		}
		if !has {
			now = absent
		}
		found = append(found, Difference{name, before, now})
	}
	return found
}
