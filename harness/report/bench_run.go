package report

import (
	"cmp"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/bench/export"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/terminal"
)

// BenchRun is the outcome of benchmarks that were measured by themselves. Its JSON
// form is that of export.Run, described by docs/bench.schema.json.
type BenchRun struct {
	Tool        Tool           `json:"tool"`
	Started     time.Time      `json:"started"` // UTC
	Duration    time.Duration  `json:"duration_ns"`
	Command     []string       `json:"command"` // without the path of the binary
	Interrupted bool           `json:"interrupted"`
	Host        host.Facts     `json:"host"`
	Noise       host.Noise     `json:"noise"`
	Dropped     []string       `json:"dropped"` // what was asked for and does not exist, and why
	Benchmarks  []bench.Result `json:"benchmarks"`
}

// Bench is the part of a report that benchmarks by themselves have.
func Bench(r *Report) *BenchRun {
	return &BenchRun{
		Tool: r.Tool, Started: r.Started, Duration: r.Duration, Command: r.Command, Interrupted: r.Interrupted,
		Host: r.Host, Noise: r.Noise, Benchmarks: r.Benchmarks,
	}
}

// Export returns the run as the formats of other programs take it.
func (r *BenchRun) Export() export.Run {
	whole := rewritten(r, func(s string) string { return s }) // so that no list is null
	run := export.Run{
		Tool: whole.Tool, Started: whole.Started, Duration: whole.Duration, Command: whole.Command, Interrupted: whole.Interrupted,
		Host: whole.Host, Noise: whole.Noise, Dropped: whole.Dropped, Benchmarks: whole.Benchmarks,
		Machine: exportMachine(r.Tool, r.Host),
	}
	run.Machine.GOOS, run.Machine.GOARCH = runtime.GOOS, cmp.Or(run.Machine.GOARCH, runtime.GOARCH)
	return run
}

// exportMachine is what the formats of other programs say of a machine, as far as
// its facts tell.
func exportMachine(tool Tool, facts host.Facts) export.Machine {
	m := export.Machine{GOARCH: facts.Arch, Kernel: facts.Kernel, Version: tool.Version}
	if len(facts.CPUs) > 0 {
		m.CPU = facts.CPUs[0].Model
	}
	return m
}

// BenchText writes the benchmarks for a terminal: a table with its remarks, what
// sizes, flows and rates do where there are several, and notes that hold for all.
func BenchText(r *BenchRun, style Style) func(io.Writer) error {
	return func(w io.Writer) error {
		r := HarmlessCopy(r)
		p := newPrintout(style)
		p.header(r.Tool, r.Host)
		p.benchmarks(r.Benchmarks)
		p.sweeps(r.Benchmarks)
		notes := r.notes()
		if len(notes) > 0 {
			p.line()
		}
		for _, n := range notes {
			for i, line := range terminal.Wrap(n.Text, p.style.Width-2) {
				bullet := "· "
				if i > 0 {
					bullet = "  "
				}
				p.line(p.paint(n.ink(), bullet+line))
			}
		}
		p.line()
		p.block(0, bold, r.Sentence())
		_, err := io.WriteString(w, p.String())
		return err
	}
}

// Sentence says in one sentence what was measured.
func (r *BenchRun) Sentence() string {
	n := map[string]int{}
	for _, b := range r.Benchmarks {
		if o := outcomeOf(b); o != nil {
			n[o.Word]++
		} else {
			n["measured"]++
		}
	}
	text := fmt.Sprintf("%s measured in %s", count(n["measured"], "benchmark"), humanDuration(r.Duration))
	for _, word := range []string{"inconclusive", "skipped", "not measured"} {
		if n[word] > 0 {
			text += fmt.Sprintf(", %d %s", n[word], word)
		}
	}
	if r.Interrupted {
		return "Interrupted: " + text + "."
	}
	return text + "."
}

// goodClocks are clock sources that are read without leaving the process
// (Documentation/timers/timekeeping.rst).
var goodClocks = map[string]bool{"tsc": true, "arch_sys_counter": true}

// notes are what holds for all benchmarks.
func (r *BenchRun) notes() []benchNote {
	var notes remarks
	for _, d := range r.Dropped {
		notes.caveat("not measured: %s", d)
	}
	if over := slices.IndexFunc(r.Benchmarks, func(b bench.Result) bool { return b.Ended == bench.EndedTime }); over >= 0 {
		notes.caveat("the time was over after %s of each: --duration gives more", count(len(r.Benchmarks[over].Restarts), "restart"))
	}
	measured, clockNS := 0, 0.0
	lacking := map[string]int{}
	for _, b := range r.Benchmarks {
		if outcomeOf(b) != nil {
			continue
		}
		measured++
		clockNS = cmp.Or(clockNS, b.Conditions.ClockNS)
		for _, key := range tailKeys {
			if _, given := b.Percentiles[key]; !given {
				lacking[key]++
			}
		}
	}
	if measured == 0 {
		return notes
	}
	if source := r.Host.ClockSource; source != "" && !goodClocks[source] {
		notes.caveat("the clock source is %s, not tsc: a reading costs more, and may be coarse", source)
	}
	if r.Noise.Steal >= toldSteal {
		notes.caveat("the hypervisor kept %s of the processor time while this was measured", share(r.Noise.Steal))
	}
	var tails []string
	for _, key := range tailKeys {
		if n := lacking[key]; n > 0 {
			tails = append(tails, fmt.Sprintf("%s (takes %s, which %d of %d have not)",
				strings.TrimSuffix(key, "_ns"), grouped(fmt.Sprint(bench.SamplesFor(key)))+" samples", n, measured))
		}
	}
	if len(tails) > 0 {
		notes.more("%s is a percentile that the samples do not bear: %s", notGiven, strings.Join(tails, ", "))
	}
	if clockNS > 0 {
		notes.more("a sample holds one reading of the clock, which costs %s", humanNS(clockNS))
	}
	notes.more("± is the 95 %% interval of the median over restarts; CPU and context switches are those of both ends")
	return notes
}

// tailKeys are the percentiles that take many samples.
var tailKeys = []string{"p99_ns", "p99.9_ns", "p99.99_ns"}
