// Package bench answers how fast the loopback stack is: it measures round
// trips, says where client and server ran, and keeps the whole distribution.
//
// The unit of statistics is the restart, a fresh set of sockets: samples of
// one restart share its luck with caches, queues and placement, so their
// number says little about how well the median is known.
package bench

import "time"

// Result is the outcome of one benchmark. Results may be compared only where
// their names are the same.
type Result struct {
	// Name joins what tells benchmarks apart: transport, operation, engine,
	// placement and size, as in "tcp/rr/netconn/free/64B".
	Name      string  `json:"name"`
	Transport string  `json:"transport"` // tcp, udp
	Op        string  `json:"op"`        // rr: request and response, one outstanding
	Engine    string  `json:"engine"`    // netconn: Go's net package
	Placement string  `json:"placement"` // free: where the scheduler put both ends
	SizeBytes int     `json:"size"`      // payload of a request and of its response
	Flows     int     `json:"flows"`     // connections in use at the same time
	RateHz    float64 `json:"rate"`      // intended requests per second; 0: back to back

	Restarts []Restart `json:"restarts"`

	// The figures below cover the samples of all restarts that are not tainted,
	// or of all restarts where every one is.
	Count       int64              `json:"count"`
	RatePerS    float64            `json:"rate_per_s"`
	MeanNS      float64            `json:"mean_ns"`
	Percentiles map[string]float64 `json:"percentiles"`   // "p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "max_ns"
	CI95        Interval           `json:"ci95"`          // of the median, over restarts
	CPUNSPerOp  float64            `json:"cpu_ns_per_op"` // user and system time of both ends
	Histogram   string             `json:"histogram"`     // HDR V2, base64; nanoseconds
	Taint       map[string]int     `json:"taint"`         // reason: number of restarts it tainted
}

// Restart is one stretch of samples over fresh sockets.
type Restart struct {
	Count    int64         `json:"count"`
	Duration time.Duration `json:"duration_ns"`
	P50NS    float64       `json:"p50_ns"`
	P90NS    float64       `json:"p90_ns"`
	P99NS    float64       `json:"p99_ns"`
	// Taint says why the restart is not trusted; empty when it is.
	Taint []string `json:"taint,omitempty"`
}

// Interval is a confidence interval of the median over restarts, in
// nanoseconds. Confidence is what was reached, which is below 0.95 where the
// restarts are too few for more.
type Interval struct {
	LowNS      float64 `json:"low_ns"`
	HighNS     float64 `json:"high_ns"`
	Confidence float64 `json:"confidence"`
}
