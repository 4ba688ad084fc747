package freeport_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/freeport"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	os.Exit(m.Run())
}

// search is a Find to be made in a zone.
type search struct {
	Ports string
	Count int
	// Hold is an address of which a TCP socket is kept.
	Hold         string
	Unprivileged bool
}

// outcome is what a search came to: the ports, or why there are too few.
type outcome struct {
	Ports   []uint16
	None    string
	Reasons []string
}

var find = sandbox.Register("freeport/find", func(ctx context.Context, _ *sandbox.Inside, q search) (outcome, error) {
	if q.Unprivileged {
		if err := sandboxtest.DropCapabilities(); err != nil {
			return outcome{}, err
		}
	}
	o := freeport.Options{Count: q.Count}
	if q.Ports != "" {
		var err error
		if o.Ports, err = portset.Parse(q.Ports); err != nil {
			return outcome{}, err
		}
	}
	if q.Hold != "" {
		o.Keep = []freeport.Kept{{Kind: sock.TCP, Addr: netip.MustParseAddr(q.Hold)}}
	}
	found, err := freeport.Find(ctx, o)
	if none, ok := errors.AsType[*freeport.NoneError](err); ok {
		result := outcome{None: none.Error()}
		for _, r := range none.Reasons {
			who := ""
			for _, w := range r.Who {
				who += " | " + strings.Join(strings.Fields(w)[:3], " ")
			}
			result.Reasons = append(result.Reasons, fmt.Sprintf("%s %s%s", r.Ports, r.What, who))
		}
		return result, nil
	}
	if err != nil {
		return outcome{}, err
	}
	var result outcome
	for _, p := range found {
		result.Ports = append(result.Ports, p.Number)
		for _, s := range p.Kept {
			addr, err := s.LocalAddr()
			if err != nil || addr.Port() != p.Number || addr.Addr().String() != q.Hold {
				return result, fmt.Errorf("kept %v, %v", addr, err)
			}
		}
	}
	// What was found is held, so that nobody else finds it.
	again, err := freeport.Find(ctx, freeport.Options{Ports: portset.Ports(result.Ports...), Count: 1})
	if _, ok := errors.AsType[*freeport.NoneError](err); !ok {
		return result, fmt.Errorf("of %v, which are held, %v were found free: %v", result.Ports, again, err)
	}
	for _, p := range found {
		p.Close()
	}
	// Once given back it is free in every way.
	for _, port := range result.Ports {
		for _, kind := range []sock.Kind{sock.TCP, sock.UDP} {
			s, err := sock.New(kind, sock.IPv4)
			if err != nil {
				return result, err
			}
			if err := s.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), port)); err != nil {
				return result, err
			}
			s.Close()
		}
	}
	return result, nil
})

// occupy takes ports in the ways there are, by the port's place in a list.
var occupy = sandbox.Register("freeport/occupy", func(ctx context.Context, _ *sandbox.Inside, ipv6 bool) (struct{}, error) {
	open := func(kind sock.Kind, at string) *sock.Socket {
		addr := netip.MustParseAddrPort(at)
		family := sock.IPv4
		if addr.Addr().Is6() {
			family = sock.IPv6
		}
		s, err := sock.New(kind, family)
		if err == nil {
			err = s.Bind(addr)
		}
		if err != nil {
			panic(err)
		}
		kept = append(kept, s)
		return s
	}
	listen := func(at string) *sock.Socket {
		s := open(sock.TCP, at)
		if err := s.Listen(8); err != nil {
			panic(err)
		}
		return s
	}
	listen("127.0.0.1:5000")
	open(sock.UDP, "127.0.0.2:5001")
	open(sock.TCP, "127.0.0.1:5002")
	if ipv6 {
		listen("[::1]:5003")
	}
	// A connection whose client keeps its port in TIME_WAIT, and one that stays.
	server := listen("127.0.0.1:6000")
	for _, port := range []string{"5004", "5005"} {
		client := open(sock.TCP, "127.0.0.1:"+port)
		if err := client.Connect(ctx, netip.MustParseAddrPort("127.0.0.1:6000")); err != nil {
			return struct{}{}, err
		}
		accepted, err := server.Accept(ctx)
		if err != nil {
			return struct{}{}, err
		}
		kept = append(kept, accepted)
		if port == "5004" {
			if err := client.Close(); err != nil {
				return struct{}{}, err
			}
			// The end of the stream has come, and is answered by another: what is
			// left of the connection is the client's TIME_WAIT.
			if _, err := accepted.Recv(ctx, make([]byte, 1), 0); err != nil {
				return struct{}{}, err
			}
			if err := accepted.Close(); err != nil {
				return struct{}{}, err
			}
			if err := awaitTimeWait(ctx, port); err != nil {
				return struct{}{}, err
			}
		}
	}
	return struct{}{}, nil
})

// awaitTimeWait waits until a port is in TIME_WAIT: where the processors are busy the
// kernel may put off what closes a connection.
func awaitTimeWait(ctx context.Context, port string) error {
	for {
		table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.TCP}})
		if err != nil {
			return err
		}
		waiting, others := false, false
		for _, s := range table.Sockets {
			client := fmt.Sprint(s.Local.Port()) == port
			waiting = waiting || client && s.State == sock.TimeWait
			others = others || s.State != sock.TimeWait && (client || fmt.Sprint(s.Remote.Port()) == port)
		}
		if waiting && !others {
			return nil
		}
	}
}

var kept []*sock.Socket

func world(t *testing.T, settings ...string) *sandbox.Sandbox {
	t.Helper()
	defer sandbox.Damage(settings...)()
	return sandboxtest.Start(t, sandbox.Config{})
}

func ask(t *testing.T, s *sandbox.Sandbox, q search) outcome {
	t.Helper()
	o, err := find.Call(t.Context(), s, "", q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return o
}

func TestWhoHasAPortIsNamed(t *testing.T) {
	s := world(t, "sysctl -qw net.ipv4.ip_local_reserved_ports=5006-5007")
	if _, err := occupy.Call(t.Context(), s, "", sandboxtest.HasIPv6()); err != nil {
		t.Fatal(err)
	}
	for ports, want := range map[string]string{
		"5000":      "5000 held by sockets that listen | tcp 127.0.0.1:5000 LISTEN",
		"5001":      "5001 held by sockets that listen | udp 127.0.0.2:5001 UNCONN",
		"5002":      "5002 held by sockets that are bound | tcp 127.0.0.1:5002 CLOSE",
		"5003":      "5003 held by sockets that listen | tcp [::1]:5003 LISTEN",
		"5004":      "5004 used by connections in TIME_WAIT, which ends within a minute | tcp 127.0.0.1:5004 to",
		"5005":      "5005 used by connections | tcp 127.0.0.1:5005 to",
		"5006":      "5006 reserved by net.ipv4.ip_local_reserved_ports",
		"5000,5006": "5000 held by sockets that listen | tcp 127.0.0.1:5000 LISTEN; 5006 reserved by net.ipv4.ip_local_reserved_ports",
	} {
		if ports == "5003" && !sandboxtest.HasIPv6() {
			continue
		}
		o := ask(t, s, search{Ports: ports, Count: 1})
		if got := strings.Join(o.Reasons, "; "); got != want || o.None != "no port of "+ports+" is free" {
			t.Errorf("%s: got %q, %q; want %q", ports, o.None, got, want)
		}
	}
	// Of a range that has one that is free, that one is found.
	if o := ask(t, s, search{Ports: "5000-5008", Count: 1}); !slices.Equal(o.Ports, []uint16{5008}) && sandboxtest.HasIPv6() {
		t.Errorf("got %+v, want 5008", o)
	}
	o := ask(t, s, search{Ports: "5005-5009", Count: 3})
	if o.None != "2 of 3 ports wanted of 5005-5009 are free" {
		t.Errorf("got %+v", o)
	}
}

func TestLowPortsAreForThoseWhoMayBindThem(t *testing.T) {
	s := world(t)
	o := ask(t, s, search{Ports: "80-81", Count: 1, Unprivileged: true})
	want := "80-81 not allowed to this user without CAP_NET_BIND_SERVICE: they are below net.ipv4.ip_unprivileged_port_start (1024)"
	if !slices.Equal(o.Reasons, []string{want}) {
		t.Errorf("got %+v, want %q", o, want)
	}
	if o := ask(t, s, search{Ports: "80", Count: 1}); !slices.Equal(o.Ports, []uint16{80}) {
		t.Errorf("with the capability: %+v", o)
	}
}

// Unless told otherwise it keeps away from where the kernel chooses.
func TestThePreferredPorts(t *testing.T) {
	s := world(t, "sysctl -qw net.ipv4.ip_local_port_range='1024 65000'")
	o := ask(t, s, search{Count: 535})
	if len(o.Ports) != 535 || o.Ports[0] != 65001 || o.Ports[534] != 65535 {
		t.Errorf("got %+v, want 65001 to 65535", o)
	}
	if o := ask(t, s, search{Count: 600}); len(o.Ports) != 600 || !slices.IsSorted(o.Ports) || o.Ports[64] >= 65001 || o.Ports[65] != 65001 {
		t.Errorf("got %+v, want 65 ports of the range too", o)
	}
}

func TestAKeptSocketHoldsThePortOfEveryAddress(t *testing.T) {
	s := world(t)
	if _, err := occupy.Call(t.Context(), s, "", sandboxtest.HasIPv6()); err != nil {
		t.Fatal(err)
	}
	// 127.0.0.1:5001 could be bound over TCP, and 127.0.0.2:5000; but neither port
	// is free.
	for _, q := range []search{{Ports: "5000", Hold: "127.0.0.2", Count: 1}, {Ports: "5001", Hold: "127.0.0.1", Count: 1}} {
		if o := ask(t, s, q); o.None == "" {
			t.Errorf("%+v: got %+v, want none", q, o)
		}
	}
	for _, hold := range []string{"127.0.0.1", "0.0.0.0"} {
		if o := ask(t, s, search{Ports: "7000", Hold: hold, Count: 1}); !slices.Equal(o.Ports, []uint16{7000}) {
			t.Errorf("%s: %+v", hold, o)
		}
	}
	if sandboxtest.HasIPv6() {
		if o := ask(t, s, search{Ports: "7000", Hold: "::", Count: 1}); !slices.Equal(o.Ports, []uint16{7000}) {
			t.Errorf("::: %+v", o)
		}
	}
}
