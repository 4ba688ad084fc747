package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// unknown stands for a fact that could not be read.
const unknown = "not known"

func machineFacts(r *Report) []fact {
	h := r.Host
	virtualization := cmp.Or(h.Virtualization, unknown)
	if virtualization == "none" {
		virtualization = "none: bare metal"
	}
	user := unknown
	if h.UID >= 0 {
		user = "user ID " + strconv.Itoa(h.UID)
	}
	return []fact{
		{"Host name", cmp.Or(h.Hostname, unknown)},
		{"System", cmp.Or(h.OS, unknown)},
		{"Kernel", cmp.Or(strings.TrimSpace(h.Kernel+" "+h.Arch), unknown)},
		{"Processors", cmp.Or(processors(h.CPUs), unknown)},
		{"Virtualization", virtualization},
		{"Container", cmp.Or(h.Container, "none seen")},
		{"Run as", user},
		{"Capabilities", cmp.Or(strings.Join(h.Capabilities, ", "), "none")},
		{"Clock source", cmp.Or(h.ClockSource, unknown)},
		{"Idle processors", cmp.Or(idleFacts(h.Idle), unknown)},
	}
}

// idleFacts says how processors are put to sleep and clocked, such as "driver
// haltpoll, polls up to 200,000 ns".
func idleFacts(i host.Idle) string {
	var parts []string
	for _, p := range []struct{ before, what, after string }{
		{"driver ", i.Driver, ""},
		{"governor ", i.Governor, ""},
		{"polls up to ", grouped(i.GuestHaltPollNS), " ns before it halts"},
		{"clock governor ", i.Frequency, ""},
	} {
		if p.what != "" {
			parts = append(parts, p.before+p.what+p.after)
		}
	}
	return strings.Join(parts, ", ")
}

func noiseFacts(r *Report) []fact {
	n := r.Noise
	pressure := unknown
	if n.PSICPU >= 0 {
		pressure = share(n.PSICPU)
	}
	return []fact{
		{"Time stolen by the hypervisor", share(n.Steal)},
		{"Time tasks waited for a processor", pressure},
		{"Load average at the end", strconv.FormatFloat(n.Load, 'f', 2, 64)},
		{"Context switches", grouped(strconv.FormatUint(n.ContextSwitches, 10))},
		{"Cost of reading the clock twice", humanNS(n.TimerOverheadNS)},
	}
}

// share is a part of the whole, in percent.
func share(part float64) string { return figure(part*100) + " %" }

// limit is a resource limit, of which -1 means that there is none.
func limit(n int64) string {
	if n < 0 {
		return "unlimited"
	}
	return grouped(strconv.FormatInt(n, 10))
}

// figures are measurements by name, in human units.
func figures(measurements map[string]float64) []fact {
	var facts []fact
	for _, name := range slices.Sorted(maps.Keys(measurements)) {
		label, value := humanMeasurement(name, measurements[name])
		facts = append(facts, fact{label, value})
	}
	return facts
}

// conditionFacts are what was seen beside a benchmark, in human units.
func conditionFacts(b bench.Result) []fact {
	if !observed(b) {
		return nil
	}
	c := b.Conditions
	told := func(v float64) string {
		if v < 0 {
			return unknown
		}
		return share(v)
	}
	migrations := unknown
	if c.Migrations >= 0 {
		migrations = grouped(strconv.FormatInt(c.Migrations, 10))
	}
	facts := []fact{
		{"Context switches per operation", fmt.Sprintf("%s voluntary, %s involuntary", figure(c.VoluntaryPerOp), figure(c.InvoluntaryPerOp))},
		{"CPU time per operation", humanNS(b.CPUNSPerOp)},
		{"Objects allocated per operation", figure(c.AllocsPerOp)},
		{"Time stolen by the hypervisor", told(c.Steal)},
		{"Time tasks waited for a processor", told(c.Pressure)},
		{"Time its own threads waited for one", told(c.Waiting)},
		{"Migrations", migrations},
		{"Garbage collections", grouped(strconv.FormatUint(c.Collections, 10))},
		{"Cost of reading the clock once", humanNS(c.ClockNS)},
	}
	for _, end := range []struct {
		name string
		cpus map[int]int64
	}{{"Client seen on", c.ClientCPUs}, {"Server seen on", c.ServerCPUs}} {
		if seen := whereSeen(end.cpus); seen != "" {
			facts = append(facts, fact{end.name, seen})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Counters)) {
		facts = append(facts, fact{"Kernel counter " + name, grouped(strconv.FormatInt(c.Counters[name], 10))})
	}
	return facts
}

// scopeCounts says how many listeners have each scope, such as "3 on every
// interface, 1 on one interface, 12 on loopback".
func scopeCounts(all []listeners.Listener) string {
	n := map[listeners.Scope]int{}
	for _, l := range all {
		n[l.Scope]++
	}
	var parts []string
	for _, s := range []struct {
		scope listeners.Scope
		where string
	}{{listeners.Every, "every interface"}, {listeners.Interface, "one interface"}, {listeners.Loopback, "loopback"}} {
		if n[s.scope] > 0 {
			parts = append(parts, fmt.Sprintf("%d on %s", n[s.scope], s.where))
		}
	}
	return strings.Join(parts, ", ")
}
