package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// benchNote is a remark on a benchmark. A caveat keeps its figures from being
// taken at their word; others say more of them.
type benchNote struct {
	Caveat bool
	Text   string
}

func (n benchNote) ink() ink {
	if n.Caveat {
		return yellow
	}
	return faint
}

// remarks gathers notes.
type remarks []benchNote

func (r *remarks) caveat(format string, args ...any) {
	*r = append(*r, benchNote{true, oneLine(fmt.Sprintf(format, args...))})
}

func (r *remarks) more(format string, args ...any) {
	*r = append(*r, benchNote{false, oneLine(fmt.Sprintf(format, args...))})
}

// Shares of the time from which on a disturbance is worth a remark.
const (
	toldSteal   = 0.01
	toldWaiting = 0.25
)

// sharesProcessor says whether both ends may run on one processor, where each
// waits for the other by itself.
func sharesProcessor(p topology.Placement) bool { return p == topology.SameCore || p == topology.Free }

// benchNotes are the caveats of a benchmark, and then what else there is to say.
func benchNotes(b bench.Result) []benchNote {
	if b.Count == 0 {
		return nil
	}
	var r remarks
	r.taint(b)
	r.rate(b)
	r.surroundings(b)
	r.placement(b)
	return r
}

// benchCaveats are the texts of those alone.
func benchCaveats(b bench.Result) (texts []string) {
	for _, n := range benchNotes(b) {
		if n.Caveat {
			texts = append(texts, n.Text)
		}
	}
	return texts
}

// taint says which restarts are left out, and what the others bear.
func (r *remarks) taint(b bench.Result) {
	tainted := 0
	for _, one := range b.Restarts {
		if len(one.Taint) > 0 {
			tainted++
		}
	}
	var reasons []string
	for _, reason := range slices.Sorted(maps.Keys(b.Taint)) {
		reasons = append(reasons, fmt.Sprintf("%s %d", reason, b.Taint[reason]))
	}
	switch {
	case b.Inconclusive != "": // which says so already
	case tainted == len(b.Restarts) && tainted > 0:
		r.caveat("every restart was tainted, so none is left out: %s", strings.Join(reasons, ", "))
	case tainted > 0:
		r.caveat("%d of %s tainted and left out: %s", tainted, count(len(b.Restarts), "restart"), strings.Join(reasons, ", "))
	}
	interval := b.CI95.LowNS != 0 || b.CI95.HighNS != 0
	if interval && b.Inconclusive == "" && b.CI95.Confidence > 0 && b.CI95.Confidence < 0.95 {
		r.caveat("the interval %s holds with %.1f %%: %s %s too few for 95 %%",
			humanInterval(b.CI95.LowNS, b.CI95.HighNS), b.CI95.Confidence*100,
			count(len(b.Counted()), "restart"), plural(len(b.Counted()), "is", "are"))
	}
	if b.Conditions.Unsteady > 0 {
		r.caveat("the warm-up of %d of %s ended without becoming steady", b.Conditions.Unsteady, count(len(b.Counted()), "restart"))
	}
}

// rate says whether a fixed rate was kept, and what a request took once it was
// sent.
func (r *remarks) rate(b bench.Result) {
	if b.MissedRate() {
		r.caveat("%s were asked for, and %s reached: the response times tell of the queue", humanRate(b.RateHz), humanRate(b.RatePerS))
	}
	if b.Lost > 0 {
		r.caveat("%s without an answer, counted as the timeout", count(int(b.Lost), "datagram"))
	}
	if _, given := b.Service["p50_ns"]; !given || b.Inconclusive != "" {
		return
	}
	var parts []string
	for _, key := range []string{"p50_ns", "p99_ns", "p99.9_ns"} {
		if v, given := b.Service[key]; given {
			parts = append(parts, strings.TrimSuffix(key, "_ns")+" "+humanNS(v))
		}
	}
	text := "response time is above, since a request was due; service time, since it was sent: " + strings.Join(parts, ", ")
	if b.Conditions.LateNS > 0 {
		text += "; sent " + humanNS(b.Conditions.LateNS) + " late when nothing was under way"
	}
	r.more("%s", text)
}

// troubles are the counters of the kernel that tell of loss, of queues that were
// full, and of timers that ran out (Documentation/networking/snmp_counter.rst).
var troubles = map[string]bool{
	"Tcp RetransSegs": true, "Tcp InErrs": true, "Tcp AttemptFails": true,
	"TcpExt ListenOverflows": true, "TcpExt ListenDrops": true, "TcpExt TCPReqQFullDrop": true,
	"TcpExt TCPReqQFullDoCookies": true, "TcpExt TCPTimeouts": true, "TcpExt TCPSynRetrans": true,
	"TcpExt TCPLostRetransmit": true, "TcpExt TCPLossProbes": true, "TcpExt TCPSpuriousRTOs": true,
	"TcpExt TCPBacklogDrop": true, "TcpExt TCPRcvQDrop": true, "TcpExt TCPOFODrop": true,
	"TcpExt TCPZeroWindowDrop": true, "TcpExt PruneCalled": true, "TcpExt RcvPruned": true, "TcpExt OfoPruned": true,
	"TcpExt TCPMemoryPressures": true, "TcpExt TCPAbortOnMemory": true, "TcpExt TCPTimeWaitOverflow": true,
	"Udp InErrors": true, "Udp RcvbufErrors": true, "Udp SndbufErrors": true, "Udp MemErrors": true, "Udp InCsumErrors": true,
	"Udp6 InErrors": true, "Udp6 RcvbufErrors": true, "Udp6 SndbufErrors": true, "Udp6 MemErrors": true, "Udp6 InCsumErrors": true,
	"Ip InDiscards": true, "Ip OutDiscards": true, "Ip FragFails": true, "Ip ReasmFails": true,
	"Ip6 InDiscards": true, "Ip6 OutDiscards": true, "Ip6 FragFails": true, "Ip6 ReasmFails": true,
}

// surroundings says what else went on.
func (r *remarks) surroundings(b bench.Result) {
	c := b.Conditions
	if c.Steal >= toldSteal {
		r.caveat("the hypervisor kept %s of the processor time", share(c.Steal))
	}
	if !sharesProcessor(b.Placement) && c.Waiting >= toldWaiting {
		r.caveat("its own threads waited for a processor %s of the time", share(c.Waiting))
	}
	if c.Collections > 0 {
		r.caveat("%s of garbage inside the windows", count(int(c.Collections), "collection"))
	}
	var moved []string
	for _, name := range slices.Sorted(maps.Keys(c.Counters)) {
		if troubles[name] {
			moved = append(moved, fmt.Sprintf("%s %s", name, grouped(fmt.Sprint(c.Counters[name]))))
		}
	}
	if len(moved) > 0 {
		r.caveat("in this network namespace the kernel counted %s", strings.Join(moved, ", "))
	}
}

// placement says which processors a free benchmark got, and when that makes it two
// benchmarks.
func (r *remarks) placement(b bench.Result) {
	if b.Inconclusive != "" {
		return
	}
	if len(b.ModesNS) > 1 {
		var peaks []string
		for _, ns := range b.ModesNS {
			peaks = append(peaks, humanNS(ns))
		}
		r.caveat("the distribution has %d modes, at %s: the median tells of none", len(peaks), strings.Join(peaks, ", "))
	}
	c := b.Conditions
	if b.Placement != topology.Free {
		return
	}
	var told []string
	if c.Looks > 0 {
		told = append(told, fmt.Sprintf("both ends were on one processor %.0f %% of the time", 100*float64(c.Together)/float64(c.Looks)))
	}
	for _, end := range []struct {
		name string
		cpus map[int]int64
	}{{"client", c.ClientCPUs}, {"server", c.ServerCPUs}} {
		if seen := whereSeen(end.cpus); seen != "" {
			told = append(told, "the "+end.name+" on "+seen)
		}
	}
	if c.Migrations >= 0 && len(told) > 0 {
		told = append(told, count(int(c.Migrations), "migration"))
	}
	if len(told) > 0 {
		r.more("%s", strings.Join(told, ", "))
	}
}

// maxCPUsTold keeps a line of a large machine short.
const maxCPUsTold = 4

// whereSeen is the processors that an end was found on, with the share of each.
func whereSeen(cpus map[int]int64) string {
	all := int64(0)
	for _, n := range cpus {
		all += n
	}
	var parts []string
	for _, cpu := range slices.SortedFunc(maps.Keys(cpus), func(a, b int) int {
		return cmp.Or(cmp.Compare(cpus[b], cpus[a]), cmp.Compare(a, b))
	}) {
		if len(parts) == maxCPUsTold {
			parts = append(parts, fmt.Sprintf("%d more", len(cpus)-maxCPUsTold))
			break
		}
		parts = append(parts, fmt.Sprintf("CPU %d %.0f %%", cpu, 100*float64(cpus[cpu])/float64(all)))
	}
	return strings.Join(parts, ", ")
}
