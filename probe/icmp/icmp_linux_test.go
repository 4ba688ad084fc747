package icmp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// patience bounds what takes microseconds.
const patience = 10 * time.Second

var (
	v4 = netip.MustParseAddr("127.0.0.1")
	v6 = netip.IPv6Loopback()
)

// access skips the test where no ICMP socket may be opened, or there is no
// such address.
func access(t *testing.T, to netip.Addr) Access {
	t.Helper()
	if to.Is6() {
		if held, _, err := sock.ClosedUDP(sock.IPv6); err != nil {
			t.Skipf("IPv6 loopback is not to be had here: %v", err)
		} else {
			_ = held.Close()
		}
	}
	via, err := Allowed(to)
	if err != nil {
		t.Skipf("neither ping sockets nor CAP_NET_RAW are to be had here: %v", err)
	}
	return via
}

func bounded(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestEchoBringsEverythingBack(t *testing.T) {
	for to, wantType := range map[netip.Addr]int{v4: 0, v6: 129} {
		t.Run(to.String(), func(t *testing.T) {
			via := access(t, to)
			req := Request{ID: 0x1234, Seq: 42, Payload: bytes.Repeat([]byte("loop"), 100)}
			got, err := Echo(bounded(t), via, to, req)
			if err != nil {
				t.Fatal(err)
			}
			if got.Type != wantType || got.Code != 0 || got.ID != got.SentID || got.Seq != 42 || !bytes.Equal(got.Payload, req.Payload) || got.From != to || got.TTL == 0 || got.RTT <= 0 {
				t.Errorf("reply %+v", got)
			}
			if via == Raw && got.SentID != req.ID {
				t.Errorf("a raw socket sent the identifier %#x, want %#x", got.SentID, req.ID)
			}
		})
	}
}

// A receive buffer that one of the largest packets fills has to be left to the
// reply: a raw socket is delivered its own request as well, and before it.
func TestARawSocketHasRoomForTheLargestReply(t *testing.T) {
	c, err := listen(Raw, v4)
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("CAP_NET_RAW is not to be had here: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// The kernel doubles it (socket(7)), and takes no packet while more is
	// waiting.
	if err := c.IPv4PacketConn().PacketConn.(*net.IPConn).SetReadBuffer(1 << 15); err != nil {
		t.Fatal(err)
	}
	req := Request{ID: 0x4321, Seq: 7, Payload: bytes.Repeat([]byte{'x'}, MaxPayload)}
	got, err := exchange(bounded(t), c, Raw, v4, req)
	if err != nil || !bytes.Equal(got.Payload, req.Payload) {
		t.Errorf("%d bytes of payload came back, %v", len(got.Payload), err)
	}
}

func TestMatch(t *testing.T) {
	req := Request{ID: 0x1234, Seq: 42, Payload: []byte("loop")}
	packet := func(kind byte, id, seq uint16, payload string) []byte {
		b := binary.BigEndian.AppendUint16([]byte{kind, 0, 0, 0}, id)
		return append(binary.BigEndian.AppendUint16(b, seq), payload...)
	}
	for name, c := range map[string]struct {
		packet []byte
		to     netip.Addr
		req    Request
		want   bool
	}{
		"the reply":             {packet(0, 0x1234, 42, "loop"), v4, req, true},
		"the reply of ICMPv6":   {packet(129, 0x1234, 42, "loop"), v6, req, true},
		"another identifier":    {packet(0, 1, 42, "loop"), v4, req, true},
		"another sequence":      {packet(0, 0x1234, 1, "loop"), v4, req, true},
		"another payload":       {packet(0, 0x1234, 42, "pool"), v4, req, true},
		"a payload cut short":   {packet(0, 0x1234, 42, "lo"), v4, req, true},
		"another type":          {packet(14, 0x1234, 42, "loop"), v4, req, true},
		"the request":           {packet(8, 0x1234, 42, "loop"), v4, req, false},
		"the request of ICMPv6": {packet(128, 0x1234, 42, "loop"), v6, req, false},
		"another's reply":       {packet(0, 1, 42, "pool"), v4, req, false},
		"another's, no payload": {packet(0, 1, 42, ""), v4, Request{ID: 0x1234, Seq: 42}, false},
		"shorter than a header": {packet(0, 0x1234, 42, "")[:7], v4, req, false},
		"nothing":               {nil, v4, req, false},
	} {
		got, ok := match(c.packet, c.to, 0x1234, c.req)
		if ok != c.want {
			t.Errorf("%s: taken for the answer: %v, want %v", name, ok, c.want)
		}
		if ok && got.SentID != 0x1234 {
			t.Errorf("%s: sent identifier %#x", name, got.SentID)
		}
	}
}

func TestEchoTooLongIsRefused(t *testing.T) {
	_, err := Echo(bounded(t), access(t, v4), v4, Request{Payload: make([]byte, MaxPayload+1)})
	if !errors.Is(err, syscall.EMSGSIZE) {
		t.Errorf("error %v, want %v", err, syscall.EMSGSIZE)
	}
}

func TestEchoEndsWithItsContext(t *testing.T) {
	via := access(t, v4)
	g := gomega.NewWithT(t)
	before := gleak.Goroutines()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Echo(ctx, via, v4, Request{}); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
	g.Eventually(gleak.Goroutines).WithTimeout(patience).ShouldNot(gleak.HaveLeaked(before))
}

func TestAClosedPortBringsPortUnreachable(t *testing.T) {
	for family, want := range map[sock.Family][2]int{sock.IPv4: {3, 3}, sock.IPv6: {1, 4}} {
		t.Run(family.String(), func(t *testing.T) {
			held, closed, err := sock.ClosedUDP(family)
			if err != nil {
				t.Skipf("no closed port is to be had here: %v", err)
			}
			defer held.Close()
			queued, err := QueuedError(bounded(t), closed, 100)
			if err != nil || queued.Type != want[0] || queued.Code != want[1] {
				t.Errorf("the error queue: %+v, %v", queued, err)
			}
			captured, err := CaptureError(bounded(t), closed, 2000)
			if errors.Is(err, os.ErrPermission) {
				t.Skipf("CAP_NET_RAW is not to be had here: %v", err)
			}
			if err != nil || captured.Type != want[0] || captured.Code != want[1] || captured.From != closed.Addr() || captured.SizeBytes < 100 {
				t.Errorf("the raw socket: %+v, %v", captured, err)
			}
		})
	}
}

// An open port brings no error, and the wait for one ends with the context.
func TestAnOpenPortBringsNoError(t *testing.T) {
	open, err := sock.New(sock.UDP, sock.IPv4)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	if err := open.Bind(sock.IPv4.Loopback(0)); err != nil {
		t.Fatal(err)
	}
	at, err := open.LocalAddr()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if found, err := QueuedError(ctx, at, 100); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%+v, %v; want the end of the context", found, err)
	}
}
