package report

import (
	"fmt"
	"io"
	"slices"
	"strconv"

	"github.com/loopcheck/loopcheck/bench/export"
	"github.com/loopcheck/loopcheck/harness/check"
)

// OpenMetrics writes the report in the OpenMetrics text format 1.0, in the part of
// it that the textfile collector of Prometheus' node_exporter reads too. States of
// checks are labels of gauges: of each check only the state that it has is written.
func OpenMetrics(r *Report) func(io.Writer) error {
	return func(w io.Writer) error {
		r := HarmlessCopy(r)
		measured := export.Run{Benchmarks: r.Benchmarks, Machine: exportMachine(r.Tool, r.Host)}
		if err := export.WriteMetrics(w, slices.Concat(runMetrics(r), export.Metrics(measured))); err != nil {
			return fmt.Errorf("write the report as OpenMetrics: %w", err)
		}
		return nil
	}
}

func runMetrics(r *Report) []export.Metric {
	gauge := func(name, unit, help string, samples ...export.Sample) export.Metric {
		return export.Metric{Name: name, Kind: "gauge", Unit: unit, Help: help, Samples: samples}
	}
	value := func(v float64, labels ...string) export.Sample { return export.Sample{Labels: labels, Value: v} }
	interrupted := 0.0
	if r.Interrupted {
		interrupted = 1
	}
	var verdict, counts, states, durations, listening []export.Sample
	for _, state := range check.States {
		given := 0.0
		if state == r.Summary.Verdict {
			given = 1
		}
		verdict = append(verdict, value(given, "state", string(state)))
		counts = append(counts, value(float64(r.Summary.Count(state)), "state", string(state)))
	}
	for _, c := range r.Checks {
		states = append(states, value(1, "check", c.ID, "suite", c.Suite, "state", string(c.State)))
		durations = append(durations, value(c.Duration.Seconds(), "check", c.ID, "suite", c.Suite))
	}
	for _, protocol := range []string{"tcp", "udp"} {
		n := 0
		for _, l := range r.Listeners {
			if l.Protocol == protocol {
				n++
			}
		}
		listening = append(listening, value(float64(n), "proto", protocol))
	}
	return []export.Metric{
		gauge("loopcheck_host_info", "", "The machine; always 1.", value(1,
			"hostname", r.Host.Hostname, "os", r.Host.OS, "kernel", r.Host.Kernel, "arch", r.Host.Arch,
			"cpu", processors(r.Host.CPUs), "cpus", strconv.Itoa(len(r.Host.CPUs)), "virtualization", r.Host.Virtualization, "container", r.Host.Container)),
		gauge("loopcheck_run_start_timestamp_seconds", "seconds", "When the run began, in seconds since 1970.", value(float64(r.Started.Unix()))),
		gauge("loopcheck_run_duration_seconds", "seconds", "How long the run took.", value(r.Duration.Seconds())),
		gauge("loopcheck_run_interrupted", "", "1 where the run was stopped before its end, and otherwise 0.", value(interrupted)),
		gauge("loopcheck_run_verdict", "", "1 for the verdict of the run, and 0 for every other.", verdict...),
		gauge("loopcheck_checks", "", "Checks by their state.", counts...),
		gauge("loopcheck_check_state", "", "1 for the state that a check has.", states...),
		gauge("loopcheck_check_duration_seconds", "seconds", "How long a check took.", durations...),
		gauge("loopcheck_listeners", "", "Sockets that listened when the run began.", listening...),
	}
}
