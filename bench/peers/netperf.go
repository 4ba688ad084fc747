package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// netperf, from 2.5 on, prints what -k selects, a line each: the same selectors as
// those of -o, which prints them as CSV. It tells its percentiles in whole
// microseconds, and as -1 where it was built without histograms. Its TCP_CRR closes
// with a FIN.
func netperf() *peer {
	return &peer{
		name:         "netperf",
		programs:     func(job) (string, string) { return "netperf", "netserver" },
		versionArgs:  []string{"-V"},
		wholeSeconds: true,
		control:      socktable.TCP,
		// It stays in the foreground and serves without a child of its own.
		server: func(j job) []string { return []string{"-D", "-f", "-4", "-L", loopback, "-p", j.port(0)} },
		client: func(j job) []string {
			size := strconv.Itoa(j.size)
			return []string{
				"-4", "-H", loopback, "-p", j.port(0), "-t", netperfTest(j), "-l", j.seconds(), "-P", "0", "--",
				"-r", size + "," + size, "-k", strings.Join(netperfKeys, ","),
			}
		},
		parse: parseNetperf,
	}
}

var netperfKeys = []string{"P50_LATENCY", "P90_LATENCY", "P99_LATENCY", "THROUGHPUT", "THROUGHPUT_UNITS", "ELAPSED_TIME", "REQUEST_SIZE", "RESPONSE_SIZE"}

// netperfUnknown is a latency that it has no histogram of.
const netperfUnknown = "-1"

func netperfTest(j job) string {
	test := map[string]string{bench.RR: "RR", bench.CRR: "CRR", bench.CRRGraceful: "CRR"}[j.op]
	return strings.ToUpper(j.transport) + "_" + test
}

func parseNetperf(j job, client, _ string) (bench.Restart, error) {
	told := keysAndValues(client)
	size := strconv.Itoa(j.size)
	if told["THROUGHPUT_UNITS"] != "Trans/s" || told["REQUEST_SIZE"] != size || told["RESPONSE_SIZE"] != size {
		return bench.Restart{}, &formatError{"netperf", "rate in Trans/s of " + size + " bytes", client}
	}
	figures, err := numbers("netperf", client, told, "THROUGHPUT", "ELAPSED_TIME")
	if err != nil {
		return bench.Restart{}, err
	}
	count := figures[0] * figures[1]
	r := bench.Restart{Count: int64(count), Duration: lasted(count, figures[0])}
	if told["P50_LATENCY"] == netperfUnknown {
		return r, nil
	}
	latencies, err := numbers("netperf", client, told, "P50_LATENCY", "P90_LATENCY", "P99_LATENCY")
	if err != nil {
		return bench.Restart{}, err
	}
	const us = 1000
	r.P50NS, r.P90NS, r.P99NS = latencies[0]*us, latencies[1]*us, latencies[2]*us
	return r, nil
}

// keysAndValues reads lines such as "THROUGHPUT=74230.89". Other lines are left out.
func keysAndValues(output string) map[string]string {
	told := map[string]string{}
	for line := range strings.Lines(output) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), "="); found {
			told[key] = value
		}
	}
	return told
}

// numbers are the values of keys, all of them above 0.
func numbers(program, output string, told map[string]string, keys ...string) ([]float64, error) {
	var values []float64
	for _, key := range keys {
		v, err := strconv.ParseFloat(told[key], 64)
		if err != nil || !(v > 0) || math.IsInf(v, 0) {
			return nil, fmt.Errorf("%w (%s=%q)", &formatError{program, key, output}, key, told[key])
		}
		values = append(values, v)
	}
	return values, nil
}
