package main

import (
	"strconv"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// neper is Google's neper: a program for each test, over epoll. Its tcp_crr closes
// by a reset (unless told --time-wait).
func neper(op string) *peer {
	p := &peer{
		name:         "neper",
		wholeSeconds: true,
		control:      socktable.TCP,
		// Both ends print; of a stream the receiver knows what it got.
		serverReports: op == bench.Stream,
		parse:         parseNeper,
	}
	p.programs = func(j job) (string, string) { program := j.transport + "_" + j.op; return program, program }
	args := func(j job) []string {
		args := []string{"-4", "-H", loopback, "-C", j.port(0), "-P", j.port(1), "-l", j.seconds(), "-I", neperInterval}
		if j.op == bench.Stream {
			return append(args, "-B", strconv.Itoa(j.size))
		}
		return append(args, "-Q", strconv.Itoa(j.size), "-R", strconv.Itoa(j.size), "-p", "50,90,99")
	}
	p.server = args
	p.client = func(j job) []string { return append([]string{"-c"}, args(j)...) }
	return p
}

// neperInterval is the time between two of the readings that its throughput is
// told from, in seconds: of the first two it makes the second after twice that
// time, so that the second that it has by default would outlast a test of one.
const neperInterval = "0.1"

func parseNeper(j job, client, server string) (bench.Restart, error) {
	if j.op == bench.Stream {
		told := keysAndValues(server)
		if told["throughput_units"] != "Mbit/s" {
			return bench.Restart{}, &formatError{"neper", "throughput in Mbit/s", server}
		}
		figures, err := numbers("neper", server, told, "throughput")
		if err != nil {
			return bench.Restart{}, err
		}
		bytesPerS := figures[0] * 1e6 / 8
		count := bytesPerS * j.window.Seconds() / float64(j.size)
		return bench.Restart{BytesPerS: bytesPerS, Count: int64(count), Duration: j.window}, nil
	}
	told := keysAndValues(client)
	figures, err := numbers("neper", client, told, "latency_p50", "latency_p90", "latency_p99", "throughput", "num_transactions")
	if err != nil {
		return bench.Restart{}, err
	}
	const second = 1e9
	return bench.Restart{
		P50NS: figures[0] * second, P90NS: figures[1] * second, P99NS: figures[2] * second,
		Count: int64(figures[4]), Duration: lasted(figures[4], figures[3]),
	}, nil
}
