package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// iperf3 sends one stream over TCP. What the receiver counted is compared.
func iperf3() *peer {
	return &peer{
		name:         "iperf3",
		programs:     named("iperf3"),
		versionArgs:  []string{"--version"},
		wholeSeconds: true,
		control:      socktable.TCP,
		server:       func(j job) []string { return []string{"-s", "-1", "-4", "-B", loopback, "-p", j.port(0)} },
		client: func(j job) []string {
			return []string{"-c", loopback, "-p", j.port(0), "-l", strconv.Itoa(j.size), "-t", j.seconds(), "-J"}
		},
		parse: parseIperf3,
	}
}

func parseIperf3(j job, client, _ string) (bench.Restart, error) {
	var told struct {
		Error string
		Start struct {
			TestStart struct {
				Protocol string
				Streams  int `json:"num_streams"`
				Blksize  int
			} `json:"test_start"`
		}
		End struct {
			Received struct {
				Seconds float64
				Bytes   float64
			} `json:"sum_received"`
		}
	}
	fail := func(want string) (bench.Restart, error) {
		return bench.Restart{}, &formatError{"iperf3", want, client}
	}
	if err := json.Unmarshal([]byte(client), &told); err != nil {
		return fail("JSON")
	}
	if told.Error != "" {
		return bench.Restart{}, fmt.Errorf("iperf3: %s", told.Error)
	}
	test, received := told.Start.TestStart, told.End.Received
	switch {
	case test.Protocol != "TCP" || test.Streams != 1:
		return fail("test of one TCP stream")
	case test.Blksize != j.size:
		return fail("test of writes of " + strconv.Itoa(j.size) + " bytes")
	case received.Seconds <= 0 || received.Bytes <= 0:
		return fail("sum_received")
	}
	return bench.Restart{
		Count: int64(received.Bytes) / int64(j.size), Duration: time.Duration(received.Seconds * float64(time.Second)),
		BytesPerS: received.Bytes / received.Seconds,
	}, nil
}
