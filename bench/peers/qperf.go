package main

import (
	"regexp"
	"strconv"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// qperf prints one-way means: half of a round trip, over all of them, and how many
// messages there were in both directions. It tells no percentiles, so only the
// rate of round trips, half of that of its messages, can be compared.
func qperf() *peer {
	return &peer{
		name:         "qperf",
		programs:     named("qperf"),
		versionArgs:  []string{"--version"},
		wholeSeconds: true,
		control:      socktable.TCP,
		server:       func(j job) []string { return []string{"-lp", j.port(0)} },
		client: func(j job) []string {
			return []string{
				loopback, "-lp", j.port(0), "-ip", j.port(1), "-m", strconv.Itoa(j.size), "-t", j.seconds(),
				"-vs", "-vu", "-uu", "-e", "6", qperfTest(j),
			}
		},
		parse: parseQperf,
	}
}

func qperfTest(j job) string { return j.transport + "_lat" }

var (
	qperfLatency = regexp.MustCompile(`(?m)^ +latency += +([0-9.]+) ns$`)
	qperfRate    = regexp.MustCompile(`(?m)^ +msg_rate += +([0-9.]+) /sec$`)
	qperfSize    = regexp.MustCompile(`(?m)^ +msg_size += +(\d+) bytes$`)
)

func parseQperf(j job, client, _ string) (bench.Restart, error) {
	fail := func(want string) (bench.Restart, error) {
		return bench.Restart{}, &formatError{"qperf", want, client}
	}
	latency, rate, size := qperfLatency.FindStringSubmatch(client), qperfRate.FindStringSubmatch(client), qperfSize.FindStringSubmatch(client)
	switch {
	case latency == nil:
		return fail("latency in ns")
	case rate == nil:
		return fail("msg_rate per second")
	case size == nil || size[1] != strconv.Itoa(j.size):
		return fail("msg_size of " + strconv.Itoa(j.size) + " bytes")
	}
	oneWay, _ := strconv.ParseFloat(latency[1], 64)
	messages, _ := strconv.ParseFloat(rate[1], 64)
	// The two are one figure, but for a stall between two readings of the clock: if
	// so, both are read as they are meant, and neither is of round trips.
	if product := oneWay * messages / float64(time.Second); product < 0.75 || product > 1.75 {
		return fail("latency that is the inverse of its msg_rate")
	}
	roundTrips := messages / 2
	count := int64(roundTrips * j.window.Seconds())
	return bench.Restart{Count: count, Duration: lasted(float64(count), roundTrips)}, nil
}
