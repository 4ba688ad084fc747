package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

const floorName = "floor"

// floorPeer is the least that a program in C does (bench/testdata/floor.c), built
// at a path. Its warm-up is a tenth of its time, and not in it.
func floorPeer(name, path string) *peer {
	return &peer{
		name:     name,
		programs: func(job) (string, string) { return path, "" },
		client: func(j job) []string {
			return []string{
				j.op, j.transport, strconv.Itoa(j.size), strconv.FormatInt(j.window.Milliseconds(), 10),
				strconv.Itoa(j.pair.Client), strconv.Itoa(j.pair.Server),
			}
		},
		parse: parseLine(floorName),
	}
}

// line is what the peers of our own print.
type line struct {
	Op        string  `json:"op"`
	Transport string  `json:"transport"`
	Size      int     `json:"size"`
	Count     int64   `json:"count"`
	RatePerS  float64 `json:"rate_per_s"`
	P50NS     float64 `json:"p50_ns"`
	P90NS     float64 `json:"p90_ns"`
	P99NS     float64 `json:"p99_ns"`
}

// parseLine reads the line of a peer of that name.
func parseLine(name string) func(j job, client, server string) (bench.Restart, error) {
	return func(j job, client, _ string) (bench.Restart, error) {
		decoder := json.NewDecoder(bytes.NewReader([]byte(client)))
		decoder.DisallowUnknownFields()
		var l line
		if err := decoder.Decode(&l); err != nil {
			return bench.Restart{}, fmt.Errorf("%w (%w)", &formatError{name, "line of JSON", client}, err)
		}
		if l.P50NS == 0 {
			return bench.Restart{}, &formatError{name, "percentiles", client}
		}
		if l.Op != j.op || l.Transport != j.transport || l.Size != j.size {
			return bench.Restart{}, fmt.Errorf("%s measured %s over %s with %d bytes, and was asked for %s over %s with %d", name, l.Op, l.Transport, l.Size, j.op, j.transport, j.size)
		}
		return bench.Restart{
			Count: l.Count, Duration: lasted(float64(l.Count), l.RatePerS),
			P50NS: l.P50NS, P90NS: l.P90NS, P99NS: l.P99NS,
		}, nil
	}
}

// lasted is the time that some operations took at a rate per second.
func lasted(count, rate float64) time.Duration {
	return time.Duration(count / rate * float64(time.Second))
}
