package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// Config says what a round trip is and for how long it is repeated. A zero
// field takes its default.
type Config struct {
	Transport string // "tcp" or "udp"; has no default
	// SizeBytes is the payload of a request and of its response: at least 8,
	// for the sequence number, by default DefaultSizeBytes.
	SizeBytes int
	// Restarts is how often the sockets are made afresh.
	Restarts int
	// Duration is the measured window of one restart.
	Duration time.Duration
	// Warmup is what goes before it unmeasured, over the same sockets.
	Warmup time.Duration
}

const (
	// DefaultSizeBytes is a small request: latency, not copying, decides.
	DefaultSizeBytes = 64
	// DefaultRestarts is the least that gives a 95 % interval narrower than the
	// whole range of the medians, and leaves it standing when one is tainted.
	DefaultRestarts = 10
	// DefaultDuration holds thousands of round trips, so that the median of one
	// restart is firm, and ten of them fit in a check.
	DefaultDuration = 150 * time.Millisecond
	// DefaultWarmup is some hundred round trips: caches are warm, the scheduler
	// has settled on processors and TCP has left slow start.
	DefaultWarmup = 10 * time.Millisecond

	// maxUDPPayload is what an IPv4 datagram of 65,535 bytes leaves after its
	// headers of 20 and 8 bytes.
	maxUDPPayload = 65_507
)

func (c Config) withDefaults() (Config, error) {
	if c.Transport != "tcp" && c.Transport != "udp" {
		return c, fmt.Errorf("transport %q is neither tcp nor udp", c.Transport)
	}
	if c.SizeBytes == 0 {
		c.SizeBytes = DefaultSizeBytes
	}
	largest := math.MaxInt32
	if c.Transport == "udp" {
		largest = maxUDPPayload
	}
	if c.SizeBytes < sequenceBytes || c.SizeBytes > largest {
		return c, fmt.Errorf("size of %d bytes is not within %d to %d", c.SizeBytes, sequenceBytes, largest)
	}
	if c.Restarts == 0 {
		c.Restarts = DefaultRestarts
	}
	if c.Duration == 0 {
		c.Duration = DefaultDuration
	}
	if c.Warmup == 0 {
		c.Warmup = DefaultWarmup
	}
	if c.Restarts < 0 || c.Duration < 0 || c.Warmup < 0 {
		return c, errors.New("restarts, duration and warm-up cannot be negative")
	}
	return c, nil
}

// NetConnRR measures round trips over Go's net.Conn on 127.0.0.1, one
// outstanding at a time, back to back. Client and server are goroutines of
// this process, placed where the schedulers of Go and the kernel like. A figure
// so holds the cost of Go's network poller. Where both goroutines settle on one
// thread, as they tend to, it holds no wake-up of another thread: two processes
// that talk to each other see longer round trips.
//
// Every response is compared with its request. The first that differs or does
// not come within a second, and the end of the context, end the benchmark with
// an error and no result. The error names the sequence number.
//
// While a window is measured, the garbage collector of the whole process is
// off. Two benchmarks never run at once in a process: the second waits.
func NetConnRR(ctx context.Context, cfg Config) (Result, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return Result{}, fmt.Errorf("netconn benchmark: %w", err)
	}
	r := Result{
		Transport: cfg.Transport,
		Op:        "rr",
		Engine:    "netconn",
		Placement: "free",
		SizeBytes: cfg.SizeBytes,
		Flows:     1,
	}
	r.Name = r.name()

	windows, err := run(ctx, schedule{restarts: cfg.Restarts, warmup: cfg.Warmup, duration: cfg.Duration},
		func(ctx context.Context) (engine, error) { return openNetConn(ctx, cfg.Transport, cfg.SizeBytes) })
	if err != nil {
		return Result{}, fmt.Errorf("%s: %w", r.Name, err)
	}
	if err := r.summarize(windows); err != nil {
		return Result{}, fmt.Errorf("%s: %w", r.Name, err)
	}
	return r, nil
}

// name joins what tells benchmarks apart.
func (r Result) name() string {
	return fmt.Sprintf("%s/%s/%s/%s/%dB", r.Transport, r.Op, r.Engine, r.Placement, r.SizeBytes)
}
