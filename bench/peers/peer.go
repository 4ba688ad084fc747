package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/socktable"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// peer is another program that measures what a benchmark of ours does.
type peer struct {
	name string // on the command line and in tables
	// programs are those it takes, by what they do here: "client" and "server", or one
	// of the two. They are looked for on PATH.
	programs func(j job) (client, server string)
	// versionArgs make the client tell its version.
	versionArgs []string
	// wholeSeconds says that it measures for no part of a second.
	wholeSeconds bool
	// aside is what of its time goes by before and after what it measures.
	aside time.Duration

	client func(j job) []string
	// server is nil where the client brings its own.
	server func(j job) []string
	// control is the protocol in which the server is ready when it has its port.
	control socktable.Protocol
	// serverReports says that the server ends by itself, and that what it prints is
	// needed.
	serverReports bool

	// parse reads what the two printed. Output that is not as expected is an error.
	// Whether figures can be is not its business.
	parse func(j job, client, server string) (bench.Restart, error)
}

// read makes a restart of what the two printed.
func (p *peer) read(j job, client, server string) (bench.Restart, error) {
	r, err := p.parse(j, client, server)
	if err != nil {
		return bench.Restart{}, err
	}
	if !plausible(r) {
		return bench.Restart{}, &formatError{p.name, "figures that can be", client}
	}
	return r, nil
}

// plausible says whether figures can be those of a restart: its percentiles are
// all there and in order, or none is.
func plausible(r bench.Restart) bool {
	const longest, most = time.Hour, int64(1e12)
	told := r.P50NS > 0 && r.P50NS <= r.P90NS && r.P90NS <= r.P99NS && r.P99NS <= float64(longest)
	untold := r.P50NS == 0 && r.P90NS == 0 && r.P99NS == 0
	return (told || untold) &&
		r.Count >= 1 && r.Count <= most && r.Duration > 0 && r.Duration <= longest &&
		r.BytesPerS >= 0 && r.BytesPerS <= float64(most)*1e3
}

// job is one run of a peer.
type job struct {
	transport string // bench.TCP or bench.UDP
	op        string // bench.RR and so on
	size      int    // bytes
	window    time.Duration
	pair      topology.Pair
	// ports were free on every address a moment ago: one for the server to be found
	// by, one for data.
	ports [2]uint16
}

// seconds is the time that a peer measures for whose unit that is.
func (j job) seconds() string { return fmt.Sprint(int(j.window.Seconds())) }

func (j job) port(i int) string { return fmt.Sprint(j.ports[i]) }

// named says of both ends that they are one program, whatever the job.
func named(program string) func(job) (string, string) {
	return func(job) (string, string) { return program, program }
}

// loopback is the address that all peers talk over.
const loopback = "127.0.0.1"

// formatError says that a program printed something else than it used to.
type formatError struct {
	Program string
	Want    string // what was looked for
	Output  string
}

func (e *formatError) Error() string {
	const most = 160
	output := strings.TrimSpace(e.Output)
	if len(output) > most {
		output = output[:most] + "…"
	}
	return fmt.Sprintf("%s printed no %s: its output is not the one that is known here: %q", e.Program, e.Want, output)
}
