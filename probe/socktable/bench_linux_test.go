package socktable_test

import (
	"net"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

const manySockets = 10_000

// BenchmarkTenThousandSockets lists ten thousand sockets of this process, and
// what else the machine has, with and without their owners. ms/op is a whole
// list; sockets says how many were in the last.
func BenchmarkTenThousandSockets(b *testing.B) {
	openMany(b)
	for _, c := range []struct {
		name    string
		options socktable.Options
	}{
		{"owners", socktable.Options{Owners: true}},
		{"ports", socktable.Options{}},
		{"listeners", socktable.Options{
			Protocols: []socktable.Protocol{socktable.TCP}, States: []sock.TCPState{sock.Listening},
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			var table *socktable.Table
			for b.Loop() {
				var err error
				if table, err = socktable.Read(b.Context(), c.options); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/1000/float64(b.N), "ms/op")
			b.ReportMetric(float64(len(table.Sockets)), "sockets")
		})
	}
}

// openMany opens connections of TCP, bound UDP sockets and unix pairs.
func openMany(b *testing.B) {
	b.Helper()
	free, err := sock.FreeDescriptors()
	if err != nil {
		b.Fatal(err)
	}
	if free < manySockets+100 {
		b.Skipf("%d descriptors are free: raise the limit (ulimit -n %d)", free, manySockets+200)
	}
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { listener.Close() })
	for range manySockets * 3 / 10 {
		client, err := net.Dial("tcp4", listener.Addr().String())
		if err != nil {
			b.Fatal(err)
		}
		server, err := listener.Accept()
		if err != nil {
			b.Fatal(err)
		}
		// A RST, so that no TIME_WAIT is left for whoever measures next.
		if err := client.(*net.TCPConn).SetLinger(0); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { client.Close(); server.Close() })
	}
	for range manySockets * 2 / 10 {
		udp, err := net.ListenPacket("udp4", "127.0.0.1:0")
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { udp.Close() })
	}
	for range manySockets / 10 {
		pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { unix.Close(pair[0]); unix.Close(pair[1]) })
	}
}
