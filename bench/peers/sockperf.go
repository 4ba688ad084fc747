package main

import (
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// sockperfBytes is the least that sockperf sends: the header of its messages.
const sockperfBytes = 14

// sockperf is Mellanox' sockperf: ping-pong over one socket, both ends blocking in
// recvfrom. Of its time 0.4 s are for warming up and 50 ms for cooling down.
// Without --full-rtt it prints half of each round trip.
func sockperf(transport string) *peer {
	common := func(j job) []string {
		args := []string{"-i", loopback, "-p", j.port(0)}
		if j.transport == bench.TCP {
			args = append(args, "--tcp")
		}
		return args
	}
	control := socktable.UDP
	if transport == bench.TCP {
		control = socktable.TCP
	}
	return &peer{
		name:         "sockperf",
		programs:     named("sockperf"),
		versionArgs:  []string{"--version"},
		wholeSeconds: true,
		aside:        450 * time.Millisecond,
		control:      control,
		server:       func(j job) []string { return append([]string{"server"}, common(j)...) },
		client: func(j job) []string {
			return append(append([]string{"ping-pong"}, common(j)...), "--full-rtt", "-m", strconv.Itoa(j.size), "-t", j.seconds())
		},
		parse: parseSockperf,
	}
}

var (
	sockperfValid      = regexp.MustCompile(`\[Valid Duration\] RunTime=([0-9.]+) sec; SentMessages=\d+; ReceivedMessages=(\d+)`)
	sockperfRoundTrip  = regexp.MustCompile(`Summary: Round trip is +([0-9.]+) usec`)
	sockperfPercentile = regexp.MustCompile(`---> percentile +([0-9.]+) = +([0-9.]+)`)
	sockperfLost       = regexp.MustCompile(`# dropped messages = (\d+); # duplicated messages = (\d+); # out-of-order messages = (\d+)`)
)

func parseSockperf(_ job, client, _ string) (bench.Restart, error) {
	fail := func(want string) (bench.Restart, error) {
		return bench.Restart{}, &formatError{"sockperf", want, client}
	}
	if sockperfRoundTrip.FindString(client) == "" {
		return fail("summary of round trips")
	}
	valid := sockperfValid.FindStringSubmatch(client)
	if valid == nil {
		return fail("valid duration")
	}
	seconds, _ := strconv.ParseFloat(valid[1], 64)
	count, _ := strconv.ParseInt(valid[2], 10, 64)
	if seconds <= 0 || count < 1 {
		return fail("round trips")
	}
	lost := sockperfLost.FindStringSubmatch(client)
	if lost == nil {
		return fail("count of dropped messages")
	}
	for _, n := range lost[1:] {
		if n != "0" {
			return bench.Restart{}, fmt.Errorf("sockperf: %s", lost[0])
		}
	}
	r := bench.Restart{Count: count, Duration: time.Duration(seconds * float64(time.Second))}
	percentiles := map[string]*float64{"50.000": &r.P50NS, "90.000": &r.P90NS, "99.000": &r.P99NS}
	for _, m := range sockperfPercentile.FindAllStringSubmatch(client, -1) {
		if figure := percentiles[m[1]]; figure != nil {
			us, _ := strconv.ParseFloat(m[2], 64)
			*figure = us * 1000
		}
	}
	for name, figure := range percentiles {
		if *figure <= 0 {
			return fail("percentile " + name)
		}
	}
	return r, nil
}
