// Package bench answers how fast the loopback stack is: it measures round
// trips, says where client and server ran, and keeps the whole distribution.
//
// The unit of statistics is the restart, a fresh set of sockets and threads:
// samples of one restart share its luck with caches, queues and placement, so
// their number says little about how well the median is known.
package bench

import "time"

// Result is the outcome of one benchmark. Results may be compared only where
// their names are the same.
type Result struct {
	// Name joins what tells benchmarks apart, as in "tcp/rr/netconn/free/64B".
	Name string `json:"name"`
	Spec

	Restarts []Restart `json:"restarts"`

	// The figures below cover the samples of all restarts that are not tainted,
	// or of all restarts where every one is.
	Count       int64              `json:"count"`
	RatePerS    float64            `json:"rate_per_s"`
	BytesPerS   float64            `json:"bytes_per_s,omitempty"` // of a stream, as received
	MeanNS      float64            `json:"mean_ns"`
	Percentiles map[string]float64 `json:"percentiles"` // "p50_ns", "p90_ns", "p99_ns", "p99.9_ns", "max_ns"
	// Service are those since each request was really sent, where a rate is kept:
	// Percentiles count from the moment it was meant to be.
	Service map[string]float64 `json:"service_percentiles,omitempty"`
	Lost    int64              `json:"lost,omitempty"` // datagrams without an answer, counted as their timeout
	// MedianNS is the median of the restarts' medians, which CI95 is the interval of:
	// that of all samples is nearer to the quick restarts, which have more of them.
	MedianNS   float64        `json:"median_ns"`
	CI95       Interval       `json:"ci95"`
	CPUNSPerOp float64        `json:"cpu_ns_per_op"` // user and system time of both ends
	Histogram  string         `json:"histogram"`     // HDR V2, base64; nanoseconds
	ModesNS    []float64      `json:"modes_ns"`      // peaks of the distribution, where it has more than one
	Taint      map[string]int `json:"taint"`         // reason: number of restarts it tainted
	Conditions Conditions     `json:"conditions"`
	// Inconclusive says why the figures are not to be trusted; empty when they are.
	Inconclusive string `json:"inconclusive,omitempty"`
	// Skipped says what was missing, where nothing was measured.
	Skipped string `json:"skipped,omitempty"`
	// Ended says why no more was measured: EndedRestarts and so on.
	Ended string `json:"ended,omitempty"`
}

// Why a benchmark ended.
const (
	EndedRestarts    = "restarts"    // as many as were asked for
	EndedPrecision   = "precision"   // the interval is as narrow as was asked for
	EndedTime        = "time"        // the time was over before that
	EndedInterrupted = "interrupted" // the context ended
)

// Restart is one stretch of samples over fresh sockets.
type Restart struct {
	// Round is the turn of the scheduler it was made in: restarts of two benchmarks
	// in the same round lie next to each other in time.
	Round    int           `json:"round"`
	Count    int64         `json:"count"`
	Duration time.Duration `json:"duration_ns"`
	P50NS    float64       `json:"p50_ns"`
	P90NS    float64       `json:"p90_ns"`
	P99NS    float64       `json:"p99_ns"`
	// P98NS and P995NS are what p99 would be if twice as many samples lay beyond, or
	// half as many: they tell how steep the tail is there. 0 where it is not told.
	P98NS      float64 `json:"p98_ns,omitempty"`
	P995NS     float64 `json:"p99.5_ns,omitempty"`
	CPUNSPerOp float64 `json:"cpu_ns_per_op"`
	BytesPerS  float64 `json:"bytes_per_s,omitempty"` // of a stream, as received
	// Pace is what a fixed stretch of arithmetic took before and after it, whichever was
	// quicker (clock.Pace): it tells a slow processor from a slow stack.
	Pace time.Duration `json:"pace_ns,omitempty"`
	// Loss is what others had of the processors meanwhile.
	Loss Loss `json:"loss,omitzero"`
	// Taint says why the restart is not trusted; empty when it is.
	Taint []string `json:"taint,omitempty"`
}

// RatePerS is the operations per second of a restart.
func (r Restart) RatePerS() float64 {
	if r.Duration <= 0 {
		return 0
	}
	return float64(r.Count) / r.Duration.Seconds()
}

// Interval is a confidence interval of the median over restarts, in
// nanoseconds. Confidence is what was reached, which is below 0.95 where the
// restarts are too few for more.
type Interval struct {
	LowNS      float64 `json:"low_ns"`
	HighNS     float64 `json:"high_ns"`
	Confidence float64 `json:"confidence"`
}

// Conditions is what was seen beside the restarts that count.
type Conditions struct {
	// Context switches of both ends per operation (getrusage(2)): voluntary ones
	// wait, the others were interrupted.
	VoluntaryPerOp   float64 `json:"voluntary_switches_per_op"`
	InvoluntaryPerOp float64 `json:"involuntary_switches_per_op"`
	// AllocsPerOp is objects allocated in the measuring process per operation.
	AllocsPerOp float64 `json:"allocs_per_op"`
	// Steal is the share of processor time the hypervisor kept, Pressure that of the
	// time in which some task waited for a processor, and Waiting how long the
	// benchmark's own threads did, added up, of the time; -1 where not told.
	Steal    float64 `json:"steal"`
	Pressure float64 `json:"pressure"`
	Waiting  float64 `json:"waiting"`
	// Taken is how long the hypervisor kept the benchmark's processors and other
	// processes used them, added up over processors, of the time; -1 where not told.
	Taken float64 `json:"taken,omitempty"`
	// Migrations of threads from one processor to another; -1 where not told.
	Migrations int64 `json:"migrations"`
	// Collections of garbage inside windows, where it is switched off.
	Collections uint64 `json:"collections"`
	// Counters of the kernel that moved, such as "Tcp RetransSegs", of all that used
	// the network namespace.
	Counters map[string]int64 `json:"counters"`
	// ClientCPUs and ServerCPUs are how often each end was found on which
	// processor; Together is how often both were on one, of Looks.
	ClientCPUs map[int]int64 `json:"client_cpus,omitempty"`
	ServerCPUs map[int]int64 `json:"server_cpus,omitempty"`
	Together   int64         `json:"together,omitempty"`
	Looks      int64         `json:"looks,omitempty"`
	// ClockNS is what reading the clock costs; a sample holds one reading.
	ClockNS float64 `json:"clock_ns"`
	// LateNS is how much later than intended a request of a fixed rate was sent, on
	// average, although nothing was under way.
	LateNS float64 `json:"late_ns,omitempty"`
	// Unsteady counts the restarts whose warm-up ended without becoming steady.
	Unsteady int `json:"unsteady,omitempty"`
}
