package serve

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
)

// What the server costs beside a bare http.FileServer of the same folder: a small file,
// and one that is sent by sendfile(2), each over a connection that stays.
func BenchmarkFile(b *testing.B) {
	dir := b.TempDir()
	for _, size := range []struct {
		name  string
		bytes int
	}{{"1KiB", 1 << 10}, {"1MiB", 1 << 20}} {
		if err := os.WriteFile(filepath.Join(dir, size.name), make([]byte, size.bytes), 0o644); err != nil {
			b.Fatal(err)
		}
		for _, s := range []struct {
			name  string
			start func(*testing.B, string) string
		}{{"net-http", bare}, {"serve", quiet}, {"serve-logged", logged}} {
			b.Run(s.name+"/"+size.name, func(b *testing.B) {
				url := s.start(b, dir) + size.name
				client := &http.Client{Transport: &http.Transport{}}
				defer client.CloseIdleConnections()
				b.SetBytes(int64(size.bytes))
				for b.Loop() {
					response, err := client.Get(url)
					if err != nil {
						b.Fatal(err)
					}
					if n, err := io.Copy(io.Discard, response.Body); err != nil || n != int64(size.bytes) {
						b.Fatalf("%d bytes, %v", n, err)
					}
					_ = response.Body.Close()
				}
			})
		}
	}
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
