package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/bench"
)

// netHTTPMemory is where garbage is collected after all. The collector is off, as it
// is in the windows of our benchmark.
const netHTTPMemory = 512 << 20

// netHTTPWarmUp is what of the window goes before it is measured: one part in so many.
const netHTTPWarmUp = 10

// serveAsPeer makes this process an end of the peer net/http, if it was started as
// one, and says so.
func serveAsPeer(args []string, stdout, stderr io.Writer) (code int, is bool) {
	if len(args) == 0 || args[0] != netHTTPClient && args[0] != netHTTPServer {
		return 0, false
	}
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(netHTTPMemory)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	serve := runNetHTTPServer
	if args[0] == netHTTPClient {
		serve = func(ctx context.Context, args []string) error { return runNetHTTPClient(ctx, args, stdout) }
	}
	if err := serve(ctx, args[1:]); err != nil {
		fmt.Fprintf(stderr, "%s: %v\n", args[0], err)
		return exitFailed, true
	}
	return exitDone, true
}

// runNetHTTPServer sends each body back, until its context ends.
func runNetHTTPServer(ctx context.Context, args []string) error {
	if len(args) != 1 {
		return errors.New("write a port")
	}
	server := &http.Server{Addr: net.JoinHostPort(loopback, args[0]), Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		_, _ = w.Write(body)
	})}
	defer context.AfterFunc(ctx, func() { _ = server.Close() })()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// runNetHTTPClient posts a body over one connection and takes it back, for a warm-up
// and a window, and prints what it measured.
func runNetHTTPClient(ctx context.Context, args []string, stdout io.Writer) error {
	if len(args) != 3 {
		return errors.New("write a port, a number of bytes and a window")
	}
	size, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	window, err := time.ParseDuration(args[2])
	if err != nil {
		return err
	}
	url := "http://" + net.JoinHostPort(loopback, args[0]) + "/"
	body := bytes.Repeat([]byte{'x'}, size)
	warm := time.Now().Add(window / netHTTPWarmUp)
	for time.Now().Before(warm) {
		if err := postBack(ctx, url, body); err != nil {
			return err
		}
	}
	var samples []time.Duration
	began := time.Now()
	for end := began.Add(window); ; {
		start := time.Now()
		if err := postBack(ctx, url, body); err != nil {
			return err
		}
		now := time.Now()
		samples = append(samples, now.Sub(start))
		if now.After(end) {
			break
		}
	}
	elapsed := time.Since(began)
	slices.Sort(samples)
	at := func(share float64) float64 { return float64(samples[int(share*float64(len(samples)-1))]) }
	return json.NewEncoder(stdout).Encode(line{
		Op: bench.RR, Transport: bench.HTTP, Size: size, Count: int64(len(samples)),
		RatePerS: float64(len(samples)) / elapsed.Seconds(), P50NS: at(0.5), P90NS: at(0.9), P99NS: at(0.99),
	})
}

func postBack(ctx context.Context, url string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	got, err := io.ReadAll(response.Body)
	if err == nil && !bytes.Equal(got, body) {
		err = fmt.Errorf("%d bytes came back for %d", len(got), len(body))
	}
	return err
}
