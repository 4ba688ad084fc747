package nftrace

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// flowCase asks which of the packets sent are traced.
type flowCase struct {
	Flows []Flow   `json:"flows"`
	Sent  []packet `json:"sent"`
}

// traceFlows gives the destinations of what is traced, with the protocol, until the
// last packet, which has to be of a flow.
var traceFlows = sandbox.Register("nftrace/flows", func(ctx context.Context, _ *sandbox.Inside, c flowCase) ([]packet, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reader, err := Open()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	marking, err := Mark(c.Flows...)
	if err != nil {
		return nil, err
	}
	defer marking.Close()
	for _, p := range c.Sent {
		closing, err := p.send()
		if err != nil {
			return nil, fmt.Errorf("send %v: %w", p, err)
		}
		defer closing()
	}
	last := c.Sent[len(c.Sent)-1]
	trace, err := reader.Gather(ctx, func(p Packet) bool { return last.is(p) })
	if err != nil {
		return nil, err
	}
	var traced []packet
	for _, p := range trace.Packets {
		traced = append(traced, packet{p.Head.Packet.Protocol, p.Head.Packet.Destination})
	}
	return traced, nil
})

func TestMarkChoosesFlows(t *testing.T) {
	s := start(t)
	udp, tcp, six := to(UDP, "127.0.0.1:5001"), to(TCP, "127.0.0.1:5001"), to(UDP, "[::1]:5001")
	other, far, ping := to(UDP, "127.0.0.1:5002"), to(UDP, "127.1.2.3:5001"), to(ICMP, "127.0.0.1:0")
	for _, c := range []struct {
		name string
		flow Flow
		want packet
	}{
		{"protocol", Flow{Protocol: ICMP, Destination: netip.MustParsePrefix("127.0.0.1/32")}, ping},
		{"protocol and port", Flow{Protocol: TCP, DestinationPort: 5001}, tcp},
		{"port", Between(UDP, netip.AddrPort{}, other.To), other},
		{"network", Flow{Destination: netip.MustParsePrefix("127.0.0.0/9"), Protocol: UDP, DestinationPort: 5002}, other},
		{"network of another length", Flow{Destination: netip.MustParsePrefix("127.1.0.0/16")}, far},
		{"IPv6 address", Between(UDP, netip.AddrPort{}, six.To), six},
		{"source", Flow{Protocol: UDP, Source: netip.MustParsePrefix("::1/128")}, six},
	} {
		t.Run(c.name, func(t *testing.T) {
			sent := []packet{udp, tcp, six, other, far, ping, c.want}
			got, err := traceFlows.Call(t.Context(), s, "", flowCase{[]Flow{c.flow}, sent})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range got {
				if p != c.want {
					t.Errorf("traced %v, which is not of the flow", p)
				}
			}
		})
	}
	for _, wrong := range []Flow{
		{Source: netip.MustParsePrefix("::1/128"), Destination: netip.MustParsePrefix("127.0.0.1/32")},
		{Protocol: ICMP, DestinationPort: 7},
	} {
		if _, err := traceFlows.Call(t.Context(), s, "", flowCase{[]Flow{wrong}, []packet{udp}}); err == nil {
			t.Errorf("%+v: no error", wrong)
		}
	}
}

// leftTables lists tables after a marking was closed, and after its socket was closed
// without a word, as when its process dies.
var leftTables = sandbox.Register("nftrace/left", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (left [3]string, err error) {
	for i, closing := range []func(*Marking) error{
		nil,
		(*Marking).Close,
		func(m *Marking) error { return m.conn.Close() },
	} {
		marking, err := Mark()
		if err != nil {
			return left, err
		}
		defer marking.Close()
		if closing == nil {
			out, err := exec.CommandContext(ctx, "nft", "list", "table", "inet", marking.Table()).CombinedOutput()
			if err != nil {
				return left, fmt.Errorf("nft: %w: %s", err, out)
			}
			left[i] = string(out)
			continue
		}
		if err := closing(marking); err != nil {
			return left, err
		}
		// What is done about a closed socket is done later.
		for ctx.Err() == nil {
			out, err := exec.CommandContext(ctx, "nft", "list", "tables").CombinedOutput()
			if err != nil {
				return left, fmt.Errorf("nft: %w: %s", err, out)
			}
			if left[i] = string(out); !strings.Contains(left[i], marking.Table()) {
				break
			}
			if i == 1 {
				return left, fmt.Errorf("Close left %q", left[i])
			}
		}
	}
	return left, ctx.Err()
})

func TestMarkingGoes(t *testing.T) {
	needNft(t)
	left, err := leftTables.Call(t.Context(), start(t), "", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"hook prerouting priority -2147483648", "hook output priority -2147483648", "nftrace set 1"} {
		if !strings.Contains(left[0], want) {
			t.Errorf("the table lacks %q:\n%s", want, left[0])
		}
	}
}

var losing = sandbox.Register("nftrace/losing", func(ctx context.Context, _ *sandbox.Inside, count int) (Trace, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	reader, err := Open()
	if err != nil {
		return Trace{}, err
	}
	defer reader.Close()
	if err := reader.conn.SetReadBuffer(4 << 10); err != nil {
		return Trace{}, err
	}
	marking, err := Mark()
	if err != nil {
		return Trace{}, err
	}
	defer marking.Close()
	for range count {
		closing, err := to(UDP, "127.0.0.1:5001").send()
		if err != nil {
			return Trace{}, err
		}
		closing()
	}
	lost, err := reader.Pending()
	if err != nil {
		return *lost, err
	}
	// Reading goes on after a loss.
	last := to(UDP, "127.0.0.1:5002")
	closing, err := last.send()
	if err != nil {
		return *lost, err
	}
	defer closing()
	_, err = reader.Gather(ctx, last.is)
	return *lost, err
})

func TestReaderTellsLosses(t *testing.T) {
	got, err := losing.Call(t.Context(), start(t), "", 200)
	if err != nil {
		t.Fatal(err)
	}
	if got.Losses == 0 || len(got.Packets) == 0 || len(got.Packets) >= 200 {
		t.Errorf("%d losses, %d packets", got.Losses, len(got.Packets))
	}
}

// ends says how Gather ended by a deadline and by a cancellation, and what
// Pending said of nothing.
var ends = sandbox.Register("nftrace/ends", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (said [3]string, err error) {
	reader, err := Open()
	if err != nil {
		return said, err
	}
	defer reader.Close()
	never := func(Packet) bool { return true }
	late, cancel := context.WithTimeout(ctx, 1)
	defer cancel()
	_, err = reader.Gather(late, never)
	said[0] = fmt.Sprint(errors.Is(err, context.DeadlineExceeded))
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = reader.Gather(cancelled, never)
	said[1] = fmt.Sprint(errors.Is(err, context.Canceled))
	trace, err := reader.Pending()
	said[2] = fmt.Sprint(len(trace.Events), err)
	return said, nil
})

func TestReaderEndsWithItsContext(t *testing.T) {
	got, err := ends.Call(t.Context(), start(t), "", struct{}{})
	if want := [3]string{"true", "true", "0 <nil>"}; err != nil || got != want {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

var withoutRights = sandbox.Register("nftrace/without-rights", func(context.Context, *sandbox.Inside, struct{}) ([2]string, error) {
	if err := sandboxtest.DropCapabilities(); err != nil {
		return [2]string{}, err
	}
	_, openErr := Open()
	_, markErr := Mark()
	var said [2]string
	for i, err := range []error{openErr, markErr} {
		if denied := new(PermissionError); errors.As(err, &denied) && errors.Is(err, syscall.EPERM) {
			said[i] = err.Error()
		}
	}
	return said, nil
})

func TestNeedsRights(t *testing.T) {
	said, err := withoutRights.Call(t.Context(), start(t), "", struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range said {
		if !strings.Contains(text, "CAP_NET_ADMIN") {
			t.Errorf("said %q", text)
		}
	}
}
