package bench

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"runtime/debug"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"
)

var transports = []string{"tcp", "udp"}

// short is a benchmark of a few milliseconds, for tests that look at
// everything but the figures.
func short(transport string) Config {
	return Config{Transport: transport, Restarts: 3, Duration: 5 * time.Millisecond, Warmup: time.Millisecond}
}

func TestNetConnRR(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			r, err := NetConnRR(t.Context(), short(transport))
			if err != nil {
				t.Fatal(err)
			}
			if want := transport + "/rr/netconn/free/64B"; r.Name != want {
				t.Errorf("name is %q, want %q", r.Name, want)
			}
			if len(r.Restarts) != 3 {
				t.Errorf("%d restarts, want 3", len(r.Restarts))
			}
			for i, restart := range r.Restarts {
				if restart.Count < 1 || restart.Duration < 5*time.Millisecond {
					t.Errorf("restart %d: %d samples in %v, want one at least and 5ms at least", i, restart.Count, restart.Duration)
				}
			}
			if r.MeanNS <= 0 || r.RatePerS <= 0 {
				t.Errorf("mean of %v ns at %v round trips a second, want more than nothing", r.MeanNS, r.RatePerS)
			}
			hist, err := hdrhistogram.Decode([]byte(r.Histogram))
			if err != nil {
				t.Fatalf("decoding the histogram: %v", err)
			}
			if hist.TotalCount() != r.Count {
				t.Errorf("histogram holds %d samples, the result counts %d", hist.TotalCount(), r.Count)
			}
		})
	}
}

func TestNetConnRROfOtherSizes(t *testing.T) {
	for _, transport := range transports {
		for _, size := range []int{sequenceBytes, 9000} {
			cfg := short(transport)
			cfg.SizeBytes = size
			r, err := NetConnRR(t.Context(), cfg)
			if err != nil {
				t.Errorf("%s with %d bytes: %v", transport, size, err)
				continue
			}
			if r.SizeBytes != size || r.Count == 0 {
				t.Errorf("%s with %d bytes: %d samples of %d bytes", transport, size, r.Count, r.SizeBytes)
			}
		}
	}
}

func TestConfigIsRefused(t *testing.T) {
	for _, tc := range []struct {
		cfg  Config
		want string
	}{
		{Config{}, `transport "" is neither tcp nor udp`},
		{Config{Transport: "sctp"}, `transport "sctp" is neither tcp nor udp`},
		{Config{Transport: "tcp", SizeBytes: 7}, "size of 7 bytes"},
		{Config{Transport: "udp", SizeBytes: 65_508}, "not within 8 to 65507"},
		{Config{Transport: "tcp", SizeBytes: -64}, "size of -64 bytes"},
		{Config{Transport: "tcp", Restarts: -1}, "cannot be negative"},
		{Config{Transport: "tcp", Duration: -1}, "cannot be negative"},
	} {
		_, err := NetConnRR(t.Context(), tc.cfg)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%+v: error %v, want one that says %q", tc.cfg, err, tc.want)
		}
	}
}

// A sample must cost no memory: what is allocated is collected sooner or later,
// and that would be in the figures.
func TestARoundTripAllocatesNothing(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			e, err := openNetConn(t.Context(), transport, DefaultSizeBytes)
			if err != nil {
				t.Fatal(err)
			}
			defer closeEngine(t, e)
			if err := e.keepWaiting(); err != nil {
				t.Fatal(err)
			}
			l := loop{ctx: t.Context(), engine: e, hist: hdrhistogram.New(lowestNS, highestNS, digits), clock: time.Now()}
			allocations := testing.AllocsPerRun(1000, func() {
				if _, err := l.step(time.Since(l.clock)); err != nil {
					t.Fatal(err)
				}
			})
			if allocations != 0 {
				t.Errorf("%v allocations a round trip, want none", allocations)
			}
			if l.hist.TotalCount() < 1000 {
				t.Errorf("%d samples, want 1000 at least", l.hist.TotalCount())
			}
		})
	}
}

func TestTheCollectorIsSetAsBefore(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(77))
	var together sync.WaitGroup
	for range 3 {
		together.Go(func() {
			if _, err := NetConnRR(t.Context(), short("udp")); err != nil {
				t.Error(err)
			}
		})
	}
	together.Wait()
	if percent := debug.SetGCPercent(77); percent != 77 {
		t.Errorf("GC percent is %d after three benchmarks, want 77 as before", percent)
	}
}

func TestTheContextEndsABenchmark(t *testing.T) {
	stopped := errors.New("stopped by the test")
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			time.AfterFunc(10*time.Millisecond, func() { cancel(stopped) })
			// A window that would outlast the test.
			_, err := NetConnRR(ctx, Config{Transport: transport, Duration: time.Hour})
			if !errors.Is(err, stopped) {
				t.Errorf("error is %v, want the cause of the cancellation", err)
			}
		})
	}
}

func TestTheContextEndsTheWaitForItsTurn(t *testing.T) {
	turn <- struct{}{}
	defer func() { <-turn }()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := NetConnRR(ctx, short("tcp")); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want %v", err, context.Canceled)
	}
}

// faulty connects a client to a server that treats the datagrams of a few
// sequence numbers as a broken stack might.
func faulty(t *testing.T, answer func(sequence byte, message []byte) []byte) *netConn {
	t.Helper()
	server, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr))
	if err != nil {
		t.Fatal(err)
	}
	n := newNetConn(t.Context(), "udp", client, DefaultSizeBytes)
	n.timeout = 20 * time.Millisecond
	n.serve(func() error {
		message := make([]byte, DefaultSizeBytes)
		for {
			size, from, err := server.ReadFromUDPAddrPort(message)
			if err != nil {
				return nil
			}
			if reply := answer(message[sequenceBytes-1], message[:size]); reply != nil {
				if _, err := server.WriteToUDPAddrPort(reply, from); err != nil {
					return err
				}
			}
		}
	}, server)
	t.Cleanup(func() { closeEngine(t, n) })
	return n
}

func TestAFaultIsAnErrorThatNamesTheSequenceNumber(t *testing.T) {
	for _, tc := range []struct {
		name   string
		answer func(sequence byte, message []byte) []byte
		want   string
	}{
		{"lost", func(s byte, m []byte) []byte {
			if s == 4 {
				return nil
			}
			return m
		}, "no response within"},
		{"of another request", func(s byte, m []byte) []byte {
			if s == 4 {
				m[sequenceBytes-1] = 3
			}
			return m
		}, "carries sequence number 3"},
		{"altered", func(s byte, m []byte) []byte {
			if s == 4 {
				m[len(m)-1]++
			}
			return m
		}, "differs from its request"},
		{"cut short", func(s byte, m []byte) []byte {
			if s == 4 {
				return m[:len(m)-1]
			}
			return m
		}, "response of 63 bytes, want 64"},
		{"too long", func(s byte, m []byte) []byte {
			if s == 4 {
				return append(m, 0)
			}
			return m
		}, "response of 65 bytes, want 64"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := faulty(t, tc.answer)
			l := loop{ctx: t.Context(), engine: n, hist: hdrhistogram.New(lowestNS, highestNS, digits), clock: time.Now()}
			_, err := l.run(time.Hour)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), "udp round trip 4 to 127.0.0.1:") {
				t.Errorf("error is %v, want one of round trip 4 that says %q", err, tc.want)
			}
			if l.hist.TotalCount() != 3 {
				t.Errorf("%d samples, want the 3 before the fault", l.hist.TotalCount())
			}
		})
	}
}

// After a standstill of the whole machine the timer has expired before the
// server has had a chance to answer.
func TestAnExpiredTimerIsNoLostResponse(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			e, err := openNetConn(t.Context(), transport, DefaultSizeBytes)
			if err != nil {
				t.Fatal(err)
			}
			defer closeEngine(t, e)
			client := e.(*netConn).client
			for i, expire := range []func(time.Time) error{client.SetReadDeadline, client.SetWriteDeadline} {
				if err := e.keepWaiting(); err != nil {
					t.Fatal(err)
				}
				if err := expire(time.Now().Add(-time.Second)); err != nil {
					t.Fatal(err)
				}
				sequence := uint64(i + 1)
				if err := errors.Join(e.roundTrip(sequence), e.verify(sequence)); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	g := gomega.NewWithT(t)
	before := gleak.Goroutines()
	for _, transport := range transports {
		if _, err := NetConnRR(t.Context(), short(transport)); err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(5*time.Millisecond, cancel)
		if _, err := NetConnRR(ctx, Config{Transport: transport, Duration: time.Hour}); err == nil {
			t.Error("no error after the context was cancelled")
		}
	}
	g.Eventually(gleak.Goroutines).ShouldNot(gleak.HaveLeaked(before))
}

func TestAServerThatFailsIsNamed(t *testing.T) {
	broken := errors.New("broken server")
	client, _ := net.Pipe()
	n := newNetConn(t.Context(), "tcp", client, DefaultSizeBytes)
	n.serve(func() error { return broken })
	if err := n.close(); !errors.Is(err, broken) {
		t.Errorf("error is %v, want that of the server", err)
	}
}

func TestAStrangerIsNotTakenForTheClient(t *testing.T) {
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var clients [2]net.Conn
	for i := range clients {
		if clients[i], err = net.Dial("tcp4", listener.Addr().String()); err != nil {
			t.Fatal(err)
		}
		defer clients[i].Close()
	}
	conn, err := acceptFrom(listener, clients[1].LocalAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if conn.RemoteAddr().String() != clients[1].LocalAddr().String() {
		t.Errorf("accepted %v, want %v", conn.RemoteAddr(), clients[1].LocalAddr())
	}
}

func closeEngine(t *testing.T, e engine) {
	t.Helper()
	if err := e.close(); err != nil {
		t.Errorf("closing: %v", err)
	}
}
