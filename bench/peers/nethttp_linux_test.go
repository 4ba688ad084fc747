package main

import (
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/topology"
)

func TestNetHTTPMeasures(t *testing.T) {
	itself, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, placement := range []topology.Placement{topology.SameCore, topology.Free} {
		t.Run(string(placement), func(t *testing.T) {
			j := jobOf(bench.HTTP, bench.RR, bench.DefaultSizeBytes)
			j.window, j.pair = 50*time.Millisecond, pairOrSkip(t, placement)
			s, err := newPeerSide(netHTTP(itself), j)
			if err != nil {
				t.Fatal(err)
			}
			before := snapshot(t)
			r, err := s.Restart(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			// A request and its response are a segment each.
			if moved := snapshot(t).Sub(before)["Tcp"]["InSegs"]; r.P50NS <= 0 || moved < 2*r.Count {
				t.Errorf("%+v, of which the kernel counted %d segments", r, moved)
			}
		})
	}
}

func TestNetHTTPSaysWhatItTakes(t *testing.T) {
	for args, want := range map[string]string{
		netHTTPServer:               "write a port",
		netHTTPClient + " 1":        "write a port, a number of bytes and a window",
		netHTTPClient + " 1 x 1s":   "invalid syntax",
		netHTTPClient + " 1 64 now": "invalid duration",
		netHTTPServer + " none":     "unknown port",
	} {
		var stderr strings.Builder
		code, is := serveAsPeer(strings.Fields(args), io.Discard, &stderr)
		if !is || code != exitFailed || !strings.Contains(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%s: exit %d, said %q; want 1 and a line about %q", args, code, stderr.String(), want)
		}
	}
	if _, is := serveAsPeer([]string{"--list"}, io.Discard, io.Discard); is {
		t.Error("--list makes an end of net/http")
	}
}
