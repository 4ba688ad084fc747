package bench

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// Spec says what one benchmark measures. Specs of the same Name measure the same.
type Spec struct {
	Transport string             `json:"transport"`
	Op        string             `json:"op"`
	Engine    string             `json:"engine"`
	Placement topology.Placement `json:"placement"`
	// SizeBytes is the payload of a request and of its response; of a stream, that
	// of one write.
	SizeBytes int `json:"size"`
	Flows     int `json:"flows"` // connections in use at the same time
	// Outstanding is how many requests of a burst go out before the first response
	// is read; 0 for all other operations.
	Outstanding int     `json:"outstanding,omitempty"`
	RateHz      float64 `json:"rate"` // intended requests per second; 0: back to back
}

// Transports.
const (
	TCP      = "tcp"  // over 127.0.0.1, with TCP_NODELAY
	TCP6     = "tcp6" // over ::1
	UDP      = "udp"
	UDP6     = "udp6"
	Unix     = "unix"     // SOCK_STREAM, unix(7)
	UnixGram = "unixgram" // SOCK_DGRAM
	Pipe     = "pipe"     // one for each direction, pipe(7)
	ICMP     = "icmp"     // echo (RFC 792), answered by the kernel
	ICMP6    = "icmp6"    // echo (RFC 4443)
	HTTP     = "http"     // HTTP/1.1 of net/http
	TLS      = "tls"      // TLS 1.3 of crypto/tls over TCP
)

// Operations.
const (
	// RR is a request and its response over a connection that stays.
	RR = "rr"
	// CRR connects, makes one round trip, and closes by a reset (SO_LINGER of zero,
	// socket(7)), so that no connection stays in TIME_WAIT.
	CRR = "crr"
	// CRRGraceful is CRR that closes with a FIN, as services do.
	CRRGraceful = "crr-graceful"
	// Connect is the handshake alone; the reset after it is not in its time.
	Connect = "connect"
	// Stream writes in one direction as fast as the other end reads; a sample is
	// what one write took.
	Stream = "stream"
	// Burst sends a number of requests at once and waits for all responses; a sample
	// is the time from a request to its response.
	Burst = "burst"
)

// Engines. They are never compared with each other.
const (
	// Raw is blocking system calls on threads that stay on their processors.
	Raw = "raw"
	// RawSpin asks again and again instead of blocking, so that no thread ever
	// sleeps and no processor idles.
	RawSpin = "raw-spin"
	// NetConn is Go's net package, with the server in a process of its own.
	NetConn = "netconn"
)

// abilities are the operations that each transport has with each engine.
var abilities = map[string]map[string][]string{
	TCP:      {Raw: {RR, CRR, CRRGraceful, Connect, Stream, Burst}, RawSpin: {RR, CRR, Stream, Burst}, NetConn: {RR, CRR, CRRGraceful, Connect, Stream, Burst}},
	TCP6:     {Raw: {RR, CRR, CRRGraceful, Connect, Stream, Burst}, RawSpin: {RR, CRR, Stream, Burst}, NetConn: {RR, CRR, CRRGraceful, Connect, Stream, Burst}},
	UDP:      {Raw: {RR, Stream, Burst}, RawSpin: {RR, Stream, Burst}, NetConn: {RR}},
	UDP6:     {Raw: {RR, Stream, Burst}, RawSpin: {RR, Stream, Burst}, NetConn: {RR}},
	Unix:     {Raw: {RR, Stream, Burst}, RawSpin: {RR, Stream, Burst}, NetConn: {RR, CRRGraceful, Stream, Burst}},
	UnixGram: {Raw: {RR, Stream, Burst}, RawSpin: {RR, Stream, Burst}},
	Pipe:     {Raw: {RR, Stream, Burst}},
	ICMP:     {Raw: {RR}, RawSpin: {RR}},
	ICMP6:    {Raw: {RR}, RawSpin: {RR}},
	HTTP:     {NetConn: {RR, CRRGraceful}},
	TLS:      {NetConn: {RR, CRRGraceful, Stream}},
}

// Transports, Ops and Engines list the values that a Spec takes.
var (
	Transports = []string{TCP, TCP6, UDP, UDP6, Unix, UnixGram, Pipe, ICMP, ICMP6, HTTP, TLS}
	Ops        = []string{RR, CRR, CRRGraceful, Connect, Stream, Burst}
	Engines    = []string{Raw, RawSpin, NetConn}
)

// Bounds of what a Spec may ask for.
const (
	DefaultSizeBytes   = 64        // a small request: latency, not copying, decides
	DefaultStreamBytes = 128 << 10 // what one write of a stream carries by default
	MaxSizeBytes       = 1 << 20
	MaxFlows           = 256
	MaxOutstanding     = 1024
	MinRateHz          = 1
	MaxRateHz          = 1e6
	// maxUDPPayload is what an IPv4 datagram of 65,535 bytes leaves after its
	// headers of 20 and 8 bytes, maxUDP6Payload what IPv6's payload length does
	// (RFC 8200 3).
	maxUDPPayload  = 65_507
	maxUDP6Payload = 65_527
	// maxBurstBytes is what all requests of a burst may hold together: each end's
	// buffers take that much while the other is still sending.
	maxBurstBytes = 64 << 10
)

// SpecError says what of a Spec cannot be measured, and what can.
type SpecError struct {
	Field  string // of the Spec, as it is called on the command line
	Value  string
	Reason string
}

func (e *SpecError) Error() string { return fmt.Sprintf("%s %s: %s", e.Field, e.Value, e.Reason) }

// WithDefaults fills in what is not set: rr over the raw engine, on the
// placement that the scheduler chooses.
func (s Spec) WithDefaults() Spec {
	s.Op, s.Placement, s.Flows = cmp.Or(s.Op, RR), cmp.Or(s.Placement, topology.Free), cmp.Or(s.Flows, 1)
	if s.Engine == "" {
		s.Engine = Raw
		if _, raw := abilities[s.Transport][Raw]; !raw {
			s.Engine = NetConn
		}
	}
	if s.SizeBytes == 0 {
		s.SizeBytes = DefaultSizeBytes
		if s.Op == Stream {
			s.SizeBytes = min(DefaultStreamBytes, s.largest())
		}
	}
	if s.Op == Burst {
		s.Outstanding = cmp.Or(s.Outstanding, 16)
	}
	return s
}

// largest is the most that one message of the transport can carry.
func (s Spec) largest() int {
	switch s.Transport {
	case UDP, ICMP:
		return maxUDPPayload
	case UDP6, ICMP6:
		return maxUDP6Payload
	case UnixGram:
		return maxUnixGram
	}
	return MaxSizeBytes
}

// datagrams says whether the transport promises no delivery.
func (s Spec) datagrams() bool {
	return slices.Contains([]string{UDP, UDP6, ICMP, ICMP6}, s.Transport)
}

// maxUnixGram fits into the default send buffer of 212,992 bytes with what the
// kernel keeps beside it (net.core.wmem_default, socket(7)).
const maxUnixGram = 128 << 10

// Validate says with a *SpecError what cannot be measured on any machine. What
// this one lacks, Measure tells.
func (s Spec) Validate() error {
	engines, known := abilities[s.Transport]
	if !known {
		return &SpecError{"transport", fmt.Sprintf("%q", s.Transport), "write one of " + strings.Join(Transports, ", ")}
	}
	ops, has := engines[s.Engine]
	if !has {
		if !slices.Contains(Engines, s.Engine) {
			return &SpecError{"engine", fmt.Sprintf("%q", s.Engine), "write one of " + strings.Join(Engines, ", ")}
		}
		var names []string
		for _, e := range Engines {
			if engines[e] != nil {
				names = append(names, e)
			}
		}
		return &SpecError{"engine", s.Engine, fmt.Sprintf("%s is measured by %s", s.Transport, strings.Join(names, ", "))}
	}
	if !slices.Contains(Ops, s.Op) {
		return &SpecError{"op", fmt.Sprintf("%q", s.Op), "write one of " + strings.Join(Ops, ", ")}
	}
	if !slices.Contains(ops, s.Op) {
		return &SpecError{"op", s.Op, fmt.Sprintf("%s over %s has %s", s.Engine, s.Transport, strings.Join(ops, ", "))}
	}
	if !slices.Contains(topology.Asked, s.Placement) {
		return &SpecError{"placement", fmt.Sprintf("%q", s.Placement), fmt.Sprintf("write one of %v", topology.Asked)}
	}
	if most := s.largest(); s.SizeBytes < 1 || s.SizeBytes > most {
		return &SpecError{"size", fmt.Sprint(s.SizeBytes), fmt.Sprintf("%s takes 1 to %d bytes", s.Transport, most)}
	}
	return s.validateLoad()
}

func (s Spec) validateLoad() error {
	switch {
	case s.Flows < 1 || s.Flows > MaxFlows:
		return &SpecError{"flows", fmt.Sprint(s.Flows), fmt.Sprintf("write 1 to %d", MaxFlows)}
	case s.Flows > 1 && (s.Op != RR || s.Transport == Pipe || s.Transport == ICMP || s.Transport == ICMP6 || s.Engine == RawSpin):
		return &SpecError{"flows", fmt.Sprint(s.Flows), "more than one are measured of rr over sockets that block"}
	case s.RateHz != 0 && !(s.RateHz >= MinRateHz && s.RateHz <= MaxRateHz):
		return &SpecError{"rate", fmt.Sprint(s.RateHz), fmt.Sprintf("write %d to %.0f requests per second, or 0 for back to back", MinRateHz, MaxRateHz)}
	case s.RateHz > 0 && (s.Op != RR || s.Flows > 1):
		return &SpecError{"rate", fmt.Sprint(s.RateHz), "a fixed rate is kept of rr over one flow"}
	case s.Op != Burst && s.Outstanding != 0:
		return &SpecError{"outstanding", fmt.Sprint(s.Outstanding), "only a burst has more than one"}
	case s.Op == Burst && (s.Outstanding < 1 || s.Outstanding > MaxOutstanding):
		return &SpecError{"outstanding", fmt.Sprint(s.Outstanding), fmt.Sprintf("write 1 to %d", MaxOutstanding)}
	case s.Op == Burst && s.Outstanding*s.SizeBytes > maxBurstBytes:
		return &SpecError{"outstanding", fmt.Sprint(s.Outstanding), fmt.Sprintf("of %d bytes each exceed the %d bytes that wait in buffers", s.SizeBytes, maxBurstBytes)}
	}
	return nil
}

// Name joins what tells benchmarks apart, such as "tcp/rr/raw/same-core/64B" or
// "udp/rr/netconn/free/1400B/1000Hz".
func (s Spec) Name() string {
	name := fmt.Sprintf("%s/%s/%s/%s/%dB", s.Transport, s.Op, s.Engine, s.Placement, s.SizeBytes)
	if s.Flows > 1 {
		name += fmt.Sprintf("/%dflows", s.Flows)
	}
	if s.Outstanding > 0 {
		name += fmt.Sprintf("/%dout", s.Outstanding)
	}
	if s.RateHz > 0 {
		name += "/" + strconv.FormatFloat(s.RateHz, 'f', -1, 64) + "Hz"
	}
	return name
}
