package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// told is what a benchmark in a sandbox came to.
type told struct {
	Results []Result
	Said    string
}

// measuring measures one restart of benchmarks in a sandbox, where the threads of raw
// engines are in its namespace as all are.
var measuring = sandbox.Register("bench/measuring", func(ctx context.Context, _ *sandbox.Inside, specs []Spec) (told, error) {
	results, err := Measure(ctx, specs, Plan{Restarts: 1, Window: 20 * time.Millisecond})
	if err != nil {
		return told{results, err.Error()}, nil
	}
	return told{results, results[0].Skipped}, nil
})

// ruled is a sandbox with rules of nft(8).
func ruled(t *testing.T, rules ...string) *sandbox.Sandbox {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil {
		t.Skip("the rules need nft, which is not installed here")
	}
	box := sandboxed(t)
	if err := ruleset.LoadFileInto(t.Context(), box, "", ruleset.File{Name: "test.nft", Text: filter(rules...)}); err != nil {
		t.Skip(err)
	}
	return box
}

func TestLostDatagramsAreCounted(t *testing.T) {
	for _, tc := range []struct {
		spec Spec
		// every is that one packet in so many does not arrive, by chance: counted, one
		// might always be lost in the warm-up, which that ends. A lost response takes
		// more than a second.
		every int
	}{
		{Spec{Transport: UDP}, 5000},
		{Spec{Transport: UDP, Op: Stream, SizeBytes: 100}, 10},
		{Spec{Transport: UDP, Op: Burst}, 5000},
		{Spec{Transport: UDP, Flows: 3}, 5000},
		{Spec{Transport: ICMP}, 5000},
	} {
		s := tc.spec.WithDefaults()
		t.Run(s.Name(), func(t *testing.T) {
			box := ruled(t, fmt.Sprintf("meta l4proto { udp, icmp } numgen random mod %d 0 drop", tc.every))
			var specs []Spec
			for range 4 {
				specs = append(specs, s)
			}
			lost, longest := int64(0), 0.0
			// Those that are lost while an engine warms up are not counted, and a busy
			// machine sends few in a window.
			for attempts := 0; lost == 0 && attempts < 40; attempts++ {
				got, err := measuring.Call(t.Context(), box, "", specs)
				if err != nil || got.Said != "" {
					t.Fatal(err, got.Said)
				}
				for _, r := range got.Results {
					lost += r.Lost
					longest = max(longest, r.Percentiles["max_ns"])
					if s.Op == Stream {
						bytes := r.BytesPerS * r.Restarts[0].Duration.Seconds()
						if want := float64(r.Count-r.Lost) * float64(s.SizeBytes); bytes < want*0.999 || bytes > want*1.001 {
							t.Errorf("%.0f bytes arrived of %d datagrams less %d", bytes, r.Count, r.Lost)
						}
					}
				}
			}
			if lost == 0 {
				t.Fatal("none were lost")
			}
			if s.Op != Stream && longest < float64(replyTimeout)*0.999 {
				t.Errorf("%d were lost, and the longest took %v", lost, time.Duration(longest))
			}
		})
	}
}

// anywhere is a pair of ends that the scheduler places.
var anywhere = topology.Pair{Placement: topology.Free, Client: -1, Server: -1}

// running opens an engine in a sandbox, or apart from it where lo is down, runs it
// until it fails, and returns what is said then.
var running = sandbox.Register("bench/running", func(ctx context.Context, in *sandbox.Inside, o runningOrder) (said string, err error) {
	defer enoughProcessors()()
	run := func() error {
		e, err := openRaw(ctx, o.Spec.WithDefaults(), anywhere)
		if err == nil {
			m := &meter{ctx: ctx, clock: time.Now(), hist: newHistogram(), service: newHistogram()}
			err = errors.Join(e.run(m, time.Hour), e.close())
		}
		said = err.Error()
		return nil
	}
	if o.Apart {
		return said, in.Apart(run)
	}
	err = topology.On(-1, run)
	return said, err
})

type runningOrder struct {
	Spec  Spec
	Apart bool
}

func TestNothingArrives(t *testing.T) {
	box := ruled(t, "meta l4proto { udp, icmp } drop")
	for want, s := range map[string]Spec{
		"udp round trip 33: no response within 1s: i/o timeout":        {Transport: UDP, Op: Burst},
		"flow 1: udp round trip 5: no response within 1s: i/o timeout": {Transport: UDP, Flows: 2},
	} {
		said, err := running.Call(t.Context(), box, "", runningOrder{Spec: s})
		if err != nil || said != want {
			t.Errorf("%q (%v), want %q", said, err, want)
		}
	}
	told, err := measuring.Call(t.Context(), box, "", []Spec{{Transport: UDP, Op: Stream}})
	if want := "udp stream: nothing arrived within 1s: i/o timeout"; err != nil || !strings.HasSuffix(told.Said, want) {
		t.Errorf("%q (%v), want %q", told.Said, err, want)
	}
}

func TestRawWithoutAddresses(t *testing.T) {
	inside := sandboxed(t)
	for transport, want := range map[string]string{
		TCP6:  "tcp6/rr/raw/free/64B needs IPv6 on loopback (::1): ",
		UDP6:  "udp6/rr/raw/free/64B needs IPv6 on loopback (::1): ",
		ICMP6: "icmp6/rr/raw/free/64B needs IPv6 on loopback (::1): ",
		TCP:   "tcp: connect: network is unreachable",
		UDP:   "udp: connect: network is unreachable",
		ICMP:  "icmp: connect: network is unreachable",
	} {
		said, err := running.Call(t.Context(), inside, "", runningOrder{Spec{Transport: transport}, true})
		if err != nil || !strings.HasPrefix(said, want) {
			t.Errorf("%s: %q (%v), want %q", transport, said, err, want)
		}
	}
}

// rawGracefully makes connections in a namespace that has some ephemeral ports, and
// in which one in TIME_WAIT is not used again.
var rawGracefully = sandbox.Register("bench/raw-gracefully", func(ctx context.Context, _ *sandbox.Inside, o portsOrder) (made int, err error) {
	for name, value := range map[string]string{"ip_local_port_range": fmt.Sprintf("40000 %d", 40000+o.Ports-1), "tcp_tw_reuse": "0"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
			return 0, err
		}
	}
	defer enoughProcessors()()
	err = topology.On(-1, func() error {
		e, err := openRaw(ctx, Spec{Transport: o.Transport, Op: CRRGraceful}.WithDefaults(), anywhere)
		if err != nil {
			return err
		}
		trip := e.(*rawEngine).client.(oneByOne)
		for ; made < connections && err == nil; made++ {
			err = trip.roundTrip(uint64(made))
		}
		return errors.Join(err, e.close())
	})
	return made, err
})

type portsOrder struct {
	Transport string
	Ports     int
}

func TestRawPortsThatRunOut(t *testing.T) {
	for _, o := range []portsOrder{{TCP, fewPorts}, {TCP6, 1}} { // the listener has the one
		made, err := rawGracefully.Call(t.Context(), sandboxed(t), "", o)
		if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, os.ErrNotExist) {
			t.Skip(err)
		}
		switch {
		case o.Ports == fewPorts && (err != nil || made != connections):
			t.Errorf("%d connections of %d: %v", made, connections, err)
		case o.Ports == 1 && (!errors.Is(err, unix.EADDRNOTAVAIL) || !strings.Contains(err.Error(), "tcp6/crr-graceful/raw/free/64B needs a free ephemeral port")):
			t.Errorf("after %d connections: %v, want that no port is free", made, err)
		}
	}
}

// powerless opens ping sockets on a thread that has no capabilities, in a namespace
// in which nobody may open them without.
var powerless = sandbox.Register("bench/powerless", func(ctx context.Context, _ *sandbox.Inside, transport string) (said string, err error) {
	return said, topology.On(-1, func() error { // a thread that ends with it
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		var none [2]unix.CapUserData
		if err := unix.Capset(&header, &none[0]); err != nil {
			return err
		}
		_, err := openRaw(ctx, Spec{Transport: transport}.WithDefaults(), anywhere)
		if missing, ok := errors.AsType[*MissingError](err); ok {
			said = missing.Error()
			return nil
		}
		return fmt.Errorf("opened, or failed otherwise: %w", err)
	})
})

func TestPingsThatAreNotAllowed(t *testing.T) {
	for _, transport := range []string{ICMP, ICMP6} {
		said, err := powerless.Call(t.Context(), sandboxed(t), "", transport)
		if err != nil || !strings.Contains(said, "needs a ping socket (net.ipv4.ping_group_range) or CAP_NET_RAW: ") {
			t.Errorf("%s: %q, %v", transport, said, err)
		}
	}
}

func TestABurstThatFindsNoRoom(t *testing.T) {
	told, err := measuring.Call(t.Context(), sandboxed(t), "", []Spec{{Transport: UnixGram, Op: Burst, Outstanding: 1024, SizeBytes: 1}})
	if want := "needs net.unix.max_dgram_qlen of 512: "; err != nil || !strings.HasPrefix(told.Said, want) {
		t.Errorf("%q (%v), want %q", told.Said, err, want)
	}
	for transport, want := range map[string]string{UDP: "net.core.rmem_max of 536870912", UnixGram: "net.core.wmem_max of 536870912"} {
		r := newRaw(t.Context(), Spec{Transport: transport}.WithDefaults())
		if _, _, err := r.pair(); err != nil {
			t.Fatal(err)
		}
		err := enoughBuffer(r, 1<<30)
		if missing, ok := errors.AsType[*MissingError](err); !ok || missing.Needs != want {
			t.Errorf("%v, want that it needs %s", err, want)
		}
		if err := r.close(); err != nil {
			t.Error(err)
		}
	}
}
