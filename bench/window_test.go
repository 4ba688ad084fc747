package bench

import (
	"context"
	"errors"
	"math"
	"os"
	"slices"
	"testing"
	"time"
)

// scripted is a connection without sockets.
type scripted struct {
	trips []uint64
	// fails are the errors of trips by their sequence numbers.
	fails  map[uint64]error
	takes  time.Duration
	closed int
}

func (s *scripted) roundTrip(sequence uint64) error {
	s.trips = append(s.trips, sequence)
	for began := time.Now(); time.Since(began) < s.takes; {
	}
	return s.fails[sequence]
}

func (s *scripted) verify(uint64) error    { return nil }
func (s *scripted) keepWaiting() error     { return nil }
func (s *scripted) remote() (usage, error) { return usage{}, nil }
func (s *scripted) close() error           { s.closed++; return nil }

func newMeter(t *testing.T) *meter {
	return &meter{ctx: t.Context(), clock: time.Now(), hist: newHistogram(), service: newHistogram()}
}

func TestSequenceNumbersAreNeverUsedTwice(t *testing.T) {
	c, m := &scripted{}, newMeter(t)
	for range 3 {
		if _, err := warmUp(newSingle(Spec{Transport: TCP}, c), m); err != nil {
			t.Fatal(err)
		}
		m.reset()
	}
	if unique := slices.Compact(slices.Sorted(slices.Values(c.trips))); len(unique) != len(c.trips) {
		t.Errorf("of %d sequence numbers %d are different", len(c.trips), len(unique))
	}
}

func TestALostDatagramCountsAsItsTimeout(t *testing.T) {
	lost := map[uint64]error{2: os.ErrDeadlineExceeded, 5: os.ErrDeadlineExceeded, 6: os.ErrDeadlineExceeded}
	c, m := &scripted{fails: lost, takes: time.Millisecond}, newMeter(t)
	if err := newSingle(Spec{Transport: UDP}, c).run(m, replyTimeout); err != nil {
		t.Fatal(err)
	}
	// A lost one takes all of the window in the histogram, and ends it.
	if m.lost != 1 || m.hist.Max() < int64(replyTimeout)*999/1000 || m.hist.TotalCount() != int64(len(c.trips)) {
		t.Errorf("%d lost of %d, longest %v; want one, counted as %v", m.lost, m.hist.TotalCount(), time.Duration(m.hist.Max()), replyTimeout)
	}
	m = newMeter(t)
	m.lossless = true
	if err := newSingle(Spec{Transport: UDP}, &scripted{fails: lost}).run(m, time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error is %v, want a lost datagram", err)
	}
	m = newMeter(t)
	if err := newSingle(Spec{Transport: TCP}, &scripted{fails: lost}).run(m, time.Second); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error is %v, want a lost response", err)
	}
}

func TestNobodyThereEndsTheRun(t *testing.T) {
	all := map[uint64]error{}
	for n := range uint64(100) {
		all[n] = os.ErrDeadlineExceeded
	}
	c := &scripted{fails: all}
	if err := newSingle(Spec{Transport: UDP}, c).run(newMeter(t), time.Hour); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("error is %v, want one after %d lost in a row", err, maxLostInARow)
	}
	if len(c.trips) != maxLostInARow {
		t.Errorf("%d were sent, want %d", len(c.trips), maxLostInARow)
	}
}

func TestAFailedRoundTripEndsTheRun(t *testing.T) {
	broken := errors.New("broken")
	c := &scripted{fails: map[uint64]error{3: broken}}
	if err := newSingle(Spec{Transport: UDP}, c).run(newMeter(t), time.Hour); !errors.Is(err, broken) {
		t.Errorf("error is %v, want %v", err, broken)
	}
}

// At a fixed rate a request that is late counts from the moment it was meant to
// be sent.
func TestAFixedRateCountsTheWaitForThoseBefore(t *testing.T) {
	// Long enough that a moment in which this process stands still is a small part.
	const window = 500 * time.Millisecond
	c, m := &scripted{takes: 2 * time.Millisecond}, newMeter(t)
	if err := newSingle(Spec{Transport: TCP, RateHz: 1000}, c).run(m, window); err != nil {
		t.Fatal(err)
	}
	response, service := time.Duration(m.hist.Max()), time.Duration(m.service.ValueAtPercentile(50))
	if response < window*2/5 {
		t.Errorf("the longest response took %v; a request every ms that takes 2 is late by half of %v in the end", response, window)
	}
	if service > response/2 {
		t.Errorf("the median service took %v of %v", service, response)
	}
	if m.hist.TotalCount() != m.service.TotalCount() {
		t.Errorf("%d responses and %d services", m.hist.TotalCount(), m.service.TotalCount())
	}
}

func TestAFixedRateIsKept(t *testing.T) {
	m := newMeter(t)
	if err := newSingle(Spec{Transport: TCP, RateHz: 200}, &scripted{}).run(m, time.Second); err != nil {
		t.Fatal(err)
	}
	if n := m.hist.TotalCount(); n > 205 {
		t.Errorf("%d requests in a second at 200 a second", n)
	}
	if m.punctual == 0 {
		t.Error("no request was waited for")
	}
}

func TestTheEndOfTheContextEndsAWait(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	m := newMeter(t)
	m.ctx = ctx
	time.AfterFunc(10*time.Millisecond, func() { cancel(stopped) })
	if err := newSingle(Spec{Transport: TCP, RateHz: 0.01}, &scripted{}).run(m, time.Hour); !errors.Is(err, stopped) {
		t.Errorf("error is %v, want %v", err, stopped)
	}
}

func TestInterleaveIsABBA(t *testing.T) {
	var order []int
	err := Interleave(t.Context(), 3,
		func(_ context.Context, side, round int) error { order = append(order, 10*round+side); return nil },
		func(rounds int) bool { return rounds < 3 })
	if want := []int{0, 1, 2, 12, 11, 10, 20, 21, 22}; err != nil || !slices.Equal(order, want) {
		t.Errorf("order is %v (%v), want %v", order, err, want)
	}
	broken := errors.New("broken")
	if err := Interleave(t.Context(), 1, func(context.Context, int, int) error { return broken }, func(int) bool { return true }); !errors.Is(err, broken) {
		t.Errorf("error is %v, want %v", err, broken)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(broken)
	if err := Interleave(ctx, 1, func(context.Context, int, int) error { return nil }, func(int) bool { return true }); !errors.Is(err, broken) {
		t.Errorf("error is %v, want %v", err, broken)
	}
}

func TestTrending(t *testing.T) {
	for _, tc := range []struct {
		values []float64
		want   bool
	}{
		{[]float64{8, 7, 6, 5, 4, 3, 2, 1}, true},
		{[]float64{1, 2, 3, 4, 5, 6, 7, 8}, true},
		{[]float64{9, 8, 8, 7, 6, 6, 5, 5}, true},
		{[]float64{5, 3, 6, 4, 5, 4, 6, 5}, false},
		{[]float64{5, 5, 5, 5, 5, 5, 5, 5}, false},
		{[]float64{9, 5, 4, 5, 6, 4, 5, 5}, false},
	} {
		if got := trending(tc.values); got != tc.want {
			t.Errorf("%v trends: %v, want %v", tc.values, got, tc.want)
		}
	}
}

func TestSpecs(t *testing.T) {
	for _, tc := range []struct {
		spec Spec
		want string // the name, or what the error says
	}{
		{Spec{Transport: TCP}, "tcp/rr/raw/free/64B"},
		{Spec{Transport: HTTP}, "http/rr/netconn/free/64B"},
		{Spec{Transport: UDP, Engine: NetConn, Placement: "same-core", SizeBytes: 1400, RateHz: 2500}, "udp/rr/netconn/same-core/1400B/2500Hz"},
		{Spec{Transport: Unix, Flows: 8}, "unix/rr/raw/free/64B/8flows"},
		{Spec{Transport: TCP, Op: Burst}, "tcp/burst/raw/free/64B/16out"},
		{Spec{Transport: TCP, Op: Stream}, "tcp/stream/raw/free/131072B"},
		{Spec{Transport: UDP, Op: Stream}, "udp/stream/raw/free/65507B"},
		{Spec{}, `transport "": write one of tcp, tcp6`},
		{Spec{Transport: "sctp"}, `transport "sctp": write one of`},
		{Spec{Transport: Pipe, Engine: NetConn}, "engine netconn: pipe is measured by raw"},
		{Spec{Transport: TCP, Engine: "fast"}, `engine "fast": write one of raw`},
		{Spec{Transport: TCP, Op: "ping"}, `op "ping": write one of rr`},
		{Spec{Transport: UDP, Op: CRR}, "op crr: raw over udp has rr, stream, burst"},
		{Spec{Transport: TCP, Placement: "moon"}, `placement "moon": write one of`},
		{Spec{Transport: TCP, SizeBytes: -1}, "size -1: tcp takes 1 to 1048576 bytes"},
		{Spec{Transport: UDP, SizeBytes: 65_508}, "size 65508: udp takes 1 to 65507 bytes"},
		{Spec{Transport: TCP, Flows: 257}, "flows 257: write 1 to 256"},
		{Spec{Transport: TCP, Op: CRR, Flows: 2}, "flows 2: more than one"},
		{Spec{Transport: TCP, RateHz: -1}, "rate -1: write 1 to 1000000 requests"},
		{Spec{Transport: TCP, RateHz: 1e-12}, "rate 1e-12: write 1 to"},
		{Spec{Transport: TCP, RateHz: math.NaN()}, "rate NaN: write 1 to"},
		{Spec{Transport: TCP, Op: CRR, RateHz: 10}, "rate 10: a fixed rate"},
		{Spec{Transport: TCP, Op: Burst, Outstanding: 1025}, "outstanding 1025: write 1 to 1024"},
		{Spec{Transport: TCP, Op: Burst, Outstanding: 100, SizeBytes: 1000}, "outstanding 100: of 1000 bytes each"},
	} {
		s := tc.spec.WithDefaults()
		got := s.Name()
		if err := s.Validate(); err != nil {
			got = err.Error()
		}
		if len(got) < len(tc.want) || got[:len(tc.want)] != tc.want {
			t.Errorf("%+v: %q, want %q", tc.spec, got, tc.want)
		}
	}
}
