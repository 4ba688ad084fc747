package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

// kept is output of programs. That of sockperf 3.7, qperf 0.4.11, iperf3 3.12 and
// of the floor is as they printed it. netperf and neper are not in Debian: theirs
// was written by hand after print_omni_keyword in netperf 2.7's nettest_omni.c, and
// after rr_report_stats, stream_report and neper_histo_print in neper's rr.c,
// stream.c and histo.c.
func kept(t testing.TB, name string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func jobOf(transport, op string, size int) job {
	return job{transport: transport, op: op, size: size, window: time.Second}
}

// outputs are what each parser reads, and what it makes of it.
var outputs = []struct {
	file   string
	peer   *peer
	job    job
	server bool // that printed it
	want   bench.Restart
}{
	{"floor-rr.json", floorPeer(floorName, ""), jobOf(bench.TCP, bench.RR, 1), false, bench.Restart{Count: 17665, Duration: 100_001_698, P50NS: 5493, P90NS: 5879, P99NS: 6020}},
	{"floor-crr.json", floorPeer(floorName, ""), jobOf(bench.TCP, bench.CRR, 1), false, bench.Restart{Count: 4226, Duration: 100_016_566, P50NS: 22032, P90NS: 23583, P99NS: 70711}},
	{"sockperf-tcp.txt", sockperf(bench.TCP), jobOf(bench.TCP, bench.RR, sockperfBytes), false, bench.Restart{Count: 23733, Duration: 550 * time.Millisecond, P50NS: 12640, P90NS: 15162, P99NS: 16019}},
	{"sockperf-udp.txt", sockperf(bench.UDP), jobOf(bench.UDP, bench.RR, sockperfBytes), false, bench.Restart{Count: 98891, Duration: 550 * time.Millisecond, P50NS: 5421, P90NS: 5745, P99NS: 6034}},
	{"qperf-tcp.txt", qperf(), jobOf(bench.TCP, bench.RR, 1), false, bench.Restart{Count: 147779, Duration: time.Second}},
	{"qperf-udp.txt", qperf(), jobOf(bench.UDP, bench.RR, 1400), false, bench.Restart{Count: 177571, Duration: 999_997_184}},
	{"qperf-stalled.txt", qperf(), jobOf(bench.TCP, bench.RR, 1), false, bench.Restart{Count: 3994, Duration: 999_960_000}},
	{"iperf3.json", iperf3(), jobOf(bench.TCP, bench.Stream, bench.DefaultStreamBytes), false, bench.Restart{Count: 16686, Duration: 1_000_247_000, BytesPerS: 2187067392 / 1.000247}},
	{"netperf-tcp-rr.txt", netperf(), jobOf(bench.TCP, bench.RR, 1), false, bench.Restart{Count: 73512, Duration: time.Second, P50NS: 13_000, P90NS: 15_000, P99NS: 24_000}},
	{"netperf-no-histogram.txt", netperf(), jobOf(bench.TCP, bench.CRR, 1), false, bench.Restart{Count: 15480, Duration: time.Second}},
	{"neper-tcp_rr.txt", neper(bench.RR), jobOf(bench.TCP, bench.RR, 1), false, bench.Restart{Count: 47121, Duration: 1_000_014_643, P50NS: 20_470, P90NS: 24_310, P99NS: 38_390}},
	{"neper-tcp_stream.txt", neper(bench.Stream), jobOf(bench.TCP, bench.Stream, bench.DefaultStreamBytes), true, bench.Restart{Count: 19531, Duration: time.Second, BytesPerS: 20480.25e6 / 8}},
}

func TestWhatPeersPrint(t *testing.T) {
	for _, c := range outputs {
		t.Run(c.file, func(t *testing.T) {
			client, server := kept(t, c.file), ""
			if c.server {
				client, server = "", client
			}
			got, err := c.peer.read(c.job, client, server)
			if err != nil {
				t.Fatal(err)
			}
			near := func(what string, got, want float64) {
				if d := got - want; d > 1e-6*want || d < -1e-6*want {
					t.Errorf("%s is %v, want %v", what, got, want)
				}
			}
			near("count", float64(got.Count), float64(c.want.Count))
			near("duration", float64(got.Duration), float64(c.want.Duration))
			near("p50", got.P50NS, c.want.P50NS)
			near("p90", got.P90NS, c.want.P90NS)
			near("p99", got.P99NS, c.want.P99NS)
			near("bytes per second", got.BytesPerS, c.want.BytesPerS)
		})
	}
}

// What is not the output that is known here is one clear error.
func TestOutputThatIsNotKnown(t *testing.T) {
	edited := func(file, old, replacement string) string {
		content := kept(t, file)
		if !strings.Contains(content, old) {
			t.Fatalf("%s has no %q", file, old)
		}
		return strings.ReplaceAll(content, old, replacement)
	}
	tcp := jobOf(bench.TCP, bench.RR, 1)
	sock := jobOf(bench.TCP, bench.RR, sockperfBytes)
	stream := jobOf(bench.TCP, bench.Stream, bench.DefaultStreamBytes)
	inC := floorPeer(floorName, "")
	for name, c := range map[string]struct {
		peer           *peer
		job            job
		client, server string
		want           string
	}{
		"floor: nothing":           {inC, tcp, "", "", "floor printed no line of JSON"},
		"floor: no figures":        {inC, tcp, `{"op":"rr","transport":"tcp","size":1}`, "", "no percentiles"},
		"floor: no samples":        {inC, tcp, edited("floor-rr.json", "17665", "0"), "", "no figures that can be"},
		"floor: no rate":           {inC, tcp, edited("floor-rr.json", "176647", "0"), "", "no figures that can be"},
		"floor: out of order":      {inC, tcp, edited("floor-rr.json", "6020", "20"), "", "no figures that can be"},
		"floor: another size":      {inC, jobOf(bench.TCP, bench.RR, 64), kept(t, "floor-rr.json"), "", "measured rr over tcp with 1 bytes, and was asked for rr over tcp with 64"},
		"floor: another key":       {inC, tcp, edited("floor-rr.json", "p90_ns", "p95_ns"), "", "unknown field"},
		"sockperf: refused":        {sockperf(bench.TCP), sock, kept(t, "sockperf-refused.txt"), "", "no summary of round trips"},
		"sockperf: no answer":      {sockperf(bench.UDP), sock, kept(t, "sockperf-silent.txt"), "", "no summary of round trips"},
		"sockperf: half":           {sockperf(bench.TCP), sock, edited("sockperf-tcp.txt", "Round trip is", "Latency is"), "", "no summary of round trips"},
		"sockperf: lost":           {sockperf(bench.UDP), sock, edited("sockperf-udp.txt", "# dropped messages = 0", "# dropped messages = 3"), "", "sockperf: # dropped messages = 3"},
		"sockperf: no percentiles": {sockperf(bench.TCP), sock, edited("sockperf-tcp.txt", "percentile 99.000", "percentile 98.000"), "", "no percentile 99.000"},
		"sockperf: cut off":        {sockperf(bench.TCP), sock, kept(t, "sockperf-tcp.txt")[:500], "", "sockperf printed no"},
		"qperf: refused":           {qperf(), tcp, "tcp_lat:\n127.0.0.1: failed to connect\n", "", "no latency in ns"},
		"qperf: other units":       {qperf(), tcp, edited("qperf-tcp.txt", "3383.43 ns", "3.38 us"), "", "no latency in ns"},
		"qperf: another size":      {qperf(), jobOf(bench.TCP, bench.RR, 2), kept(t, "qperf-tcp.txt"), "", "no msg_size of 2 bytes"},
		"qperf: two meanings":      {qperf(), tcp, edited("qperf-tcp.txt", "295558", "147779"), "", "inverse of its msg_rate"},
		"iperf3: refused":          {iperf3(), stream, kept(t, "iperf3-refused.json"), "", "iperf3: unable to connect to server"},
		"iperf3: text":             {iperf3(), stream, "iperf 3.12\n", "", "no JSON"},
		"iperf3: another size":     {iperf3(), jobOf(bench.TCP, bench.Stream, 4096), kept(t, "iperf3.json"), "", "no test of writes of 4096 bytes"},
		"iperf3: UDP":              {iperf3(), stream, edited("iperf3.json", `"TCP"`, `"UDP"`), "", "no test of one TCP stream"},
		"iperf3: nothing received": {iperf3(), stream, edited("iperf3.json", "sum_received", "sum_lost"), "", "no sum_received"},
		"netperf: refused":         {netperf(), tcp, kept(t, "netperf-refused.txt"), "", "no rate in Trans/s"},
		"netperf: bits":            {netperf(), tcp, edited("netperf-tcp-rr.txt", "Trans/s", "10^6bits/s"), "", "no rate in Trans/s"},
		"netperf: another size":    {netperf(), jobOf(bench.TCP, bench.RR, 64), kept(t, "netperf-tcp-rr.txt"), "", "no rate in Trans/s of 64 bytes"},
		"netperf: no p99":          {netperf(), tcp, edited("netperf-tcp-rr.txt", "P99_LATENCY=24\n", ""), "", `P99_LATENCY=""`},
		"neper: older":             {neper(bench.RR), tcp, kept(t, "neper-older.txt"), "", `latency_p50=""`},
		"neper: no throughput":     {neper(bench.RR), tcp, edited("neper-tcp_rr.txt", "47120.31", "-nan"), "", `throughput="-nan"`},
		"neper: endless":           {neper(bench.RR), tcp, edited("neper-tcp_rr.txt", "47120.31", "inf"), "", `throughput="inf"`},
		"neper: other units":       {neper(bench.Stream), stream, "", edited("neper-tcp_stream.txt", "Mbit/s", "MB/s"), "no throughput in Mbit/s"},
		"neper: the other end":     {neper(bench.Stream), stream, kept(t, "neper-tcp_stream.txt"), "", "no throughput in Mbit/s"},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := c.peer.read(c.job, c.client, c.server)
			if err == nil {
				t.Fatalf("it was read as %+v", r)
			}
			if !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") || len(err.Error()) > 500 {
				t.Errorf("error is %q, want one line about %q", err, c.want)
			}
			if !strings.HasPrefix(err.Error(), strings.SplitN(name, ":", 2)[0]) && !strings.HasPrefix(err.Error(), "the floor") {
				t.Errorf("error is %q, want one that names the program first", err)
			}
		})
	}
}

func TestAFormatErrorIsTyped(t *testing.T) {
	_, err := iperf3().read(jobOf(bench.TCP, bench.Stream, 1), strings.Repeat("x", 10_000), "")
	var wrong *formatError
	if !errors.As(err, &wrong) || wrong.Program != "iperf3" || len(err.Error()) > 500 {
		t.Errorf("error is %v, want a short one of iperf3's format", err)
	}
}

func TestWindowsAreTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		peer            *peer
		asked           time.Duration
		lasts, measures time.Duration
	}{
		"floor":            {floorPeer(floorName, ""), 300 * time.Millisecond, 300 * time.Millisecond, 300 * time.Millisecond},
		"qperf":            {qperf(), 300 * time.Millisecond, time.Second, time.Second},
		"qperf, long":      {qperf(), 2600 * time.Millisecond, 3 * time.Second, 3 * time.Second},
		"sockperf":         {sockperf(bench.TCP), 300 * time.Millisecond, time.Second, 550 * time.Millisecond},
		"sockperf, longer": {sockperf(bench.UDP), 2 * time.Second, 2 * time.Second, 1550 * time.Millisecond},
	} {
		if lasts, measures := (comparison{peer: c.peer}).windows(c.asked); lasts != c.lasts || measures != c.measures {
			t.Errorf("%s lasts %v and measures %v, want %v and %v", name, lasts, measures, c.lasts, c.measures)
		}
	}
}
