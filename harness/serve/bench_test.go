package serve

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// What a request costs beside one to a bare http.FileServer of the same folder: for a
// small file, and for one that is sent by sendfile(2), each over a connection that
// stays. The servers are asked in turn, so that what else the machine does meets all;
// the figures are medians.
func BenchmarkFile(b *testing.B) {
	dir := b.TempDir()
	servers := []struct {
		name  string
		start func(*testing.B, string) string
	}{{"net/http", bare}, {"quiet", quiet}, {"logged", logged}}
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"1MiB", 1 << 20}, {"16MiB", 16 << 20}} {
		if err := os.WriteFile(filepath.Join(dir, size.name), make([]byte, size.bytes), 0o644); err != nil {
			b.Fatal(err)
		}
		b.Run(size.name, func(b *testing.B) {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			urls := make([]string, len(servers))
			for i, s := range servers {
				urls[i] = s.start(b, dir) + size.name
			}
			took := make([][]time.Duration, len(servers))
			for b.Loop() {
				for i, url := range urls {
					began := time.Now()
					fetch(b, client, url, size.bytes)
					took[i] = append(took[i], time.Since(began))
				}
			}
			for i, s := range servers {
				slices.Sort(took[i])
				median := took[i][len(took[i])/2]
				b.ReportMetric(float64(median), s.name+"-ns")
				if i > 0 {
					b.ReportMetric(float64(median)/float64(took[0][len(took[0])/2]), s.name+"-ratio")
				}
			}
		})
	}
}

func fetch(b *testing.B, client *http.Client, url string, want int) {
	response, err := client.Get(url)
	if err != nil {
		b.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, response.Body); err != nil || n != int64(want) {
		b.Fatalf("%d bytes, %v", n, err)
	}
	_ = response.Body.Close()
}

func bare(b *testing.B, dir string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	s := &http.Server{Handler: http.FileServer(http.Dir(dir))}
	go func() { _ = s.Serve(l) }()
	b.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String() + "/"
}

func quiet(b *testing.B, dir string) string { return benchmarked(b, dir, nil) }

func logged(b *testing.B, dir string) string {
	return benchmarked(b, dir, func(e Entry) { _, _ = io.WriteString(io.Discard, e.String()) })
}

func benchmarked(b *testing.B, dir string, log func(Entry)) string {
	s, err := New(Options{Dir: dir, Addresses: []netip.Addr{loopback}, Limits: DefaultLimits, Log: log, Say: func(string) {}})
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Listen(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	b.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	})
	return s.URLs()[0]
}
