package sandbox

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"testing"
	"time"
)

var whoami = Register("sandbox/whoami", func(ctx context.Context, in *Inside, n int) (string, error) {
	ifs, _ := net.Interfaces()
	ns, _ := os.Readlink("/proc/thread-self/ns/net")
	return fmt.Sprint(n, os.Getuid(), os.Getpid(), ns, len(ifs)), nil
})

func TestFoo(t *testing.T) {
	t0 := time.Now()
	s, err := Start(t.Context(), Config{Zones: []string{"a", "b"}, Links: []Link{{A: End{"a", "eth0", []netip.Prefix{netip.MustParsePrefix("10.1.1.1/24"), netip.MustParsePrefix("fd00:1::1/64")}}, B: End{"b", "eth0", []netip.Prefix{netip.MustParsePrefix("10.1.1.2/24"), netip.MustParsePrefix("fd00:1::2/64")}}}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Log(time.Since(t0), s.Facts())
	for _, z := range []string{"a", "b"} {
		t.Log(whoami.Call(t.Context(), s, z, 5))
	}
	t1 := time.Now()
	s.Close()
	t.Log(time.Since(t1))
	t0 = time.Now()
	for range 50 {
		s, err := Start(t.Context(), Config{Zones: []string{"a", "b"}, Links: []Link{{A: End{"a", "eth0", nil}, B: End{"b", "eth0", nil}}}})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
	t.Log(time.Since(t0) / 50)
}
