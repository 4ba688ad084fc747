package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// fewPorts is how many ephemeral ports there are where connections must not run
// out of them, and how many are made.
const (
	fewPorts    = 100
	connections = 5 * fewPorts
)

// gracefully makes connections in a namespace in which a port in TIME_WAIT is not
// used again.
var gracefully = sandbox.Register("bench/gracefully", func(ctx context.Context, _ *sandbox.Inside, transport string) (int, error) {
	for name, value := range map[string]string{"ip_local_port_range": fmt.Sprintf("40000 %d", 40000+fewPorts-1), "tcp_tw_reuse": "0"} {
		if err := os.WriteFile("/proc/sys/net/ipv4/"+name, []byte(value), 0); err != nil {
			return 0, err
		}
	}
	s := Spec{Transport: transport, Op: CRRGraceful, Engine: NetConn}.WithDefaults()
	e, err := openNetConn(ctx, s, topology.Pair{Placement: topology.Free, Client: -1, Server: -1})
	if err != nil {
		return 0, err
	}
	made := 0
	for ; made < connections && err == nil; made++ {
		err = e.(*netEngine).netClient.(lone).roundTrip(uint64(made))
	}
	return made, errors.Join(err, e.close())
})

func TestGracefulConnectionsDoNotRunOutOfPorts(t *testing.T) {
	for _, transport := range []string{TCP, TCP6} {
		inside := sandboxed(t)
		made, err := gracefully.Call(t.Context(), inside, "", transport)
		if errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS) || errors.Is(err, os.ErrNotExist) {
			t.Skip(err)
		}
		if err != nil || made != connections {
			t.Errorf("%s: %d connections of %d: %v", transport, made, connections, err)
		}
	}
}

func sandboxed(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	inside, err := sandbox.Start(t.Context(), sandbox.Config{})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = inside.Close() })
	return inside
}

// without measures what there is no address for, and returns what is said.
var without = sandbox.Register("bench/without", func(ctx context.Context, in *sandbox.Inside, s Spec) (said string, err error) {
	err = in.Apart(func() error { // where lo is down
		results, err := Measure(ctx, []Spec{s}, short)
		if err != nil {
			said = err.Error()
			return nil
		}
		said = "skipped: " + results[0].Skipped
		return nil
	})
	return said, err
})

func TestNoAddressOnLoopback(t *testing.T) {
	inside := sandboxed(t)
	for transport, want := range map[string]string{
		TCP: "tcp client: dial tcp4 127.0.0.1:",
		UDP: "udp client: dial udp4 127.0.0.1:",
		// What an IPv6 that is not there lacks is no fault of the stack.
		TCP6: "skipped: needs IPv6 on loopback (::1): listen udp6 [::1]:0: bind: cannot assign requested address",
		UDP6: "skipped: needs IPv6 on loopback (::1): listen udp6 [::1]:0: bind: cannot assign requested address",
	} {
		said, err := without.Call(t.Context(), inside, "", Spec{Transport: transport, Engine: NetConn})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(said, want) || !(strings.HasSuffix(said, "network is unreachable") || strings.HasSuffix(said, "cannot assign requested address")) {
			t.Errorf("%s: %q, want %q", transport, said, want)
		}
	}
}
