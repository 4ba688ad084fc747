package portscan_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/portscan"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	if role := os.Getenv(roleVariable); role != "" {
		churn(role)
		return
	}
	os.Exit(m.Run())
}

// question is a scan to be made in a zone.
type question struct {
	Protocol sock.Kind
	Addr     string
	Ports    string // "" for all
	Engine   portscan.Engine
	Compare  bool
	// Unprivileged drops every capability first.
	Unprivileged bool
}

// findings is what a scan came to, as text that a test can name.
type findings struct {
	Engine portscan.Engine
	// Ranges are such as "22 open" and "23-65535 closed".
	Ranges []string
	// Disagreements are such as "hidden 22 dropped".
	Disagreements []string
}

var scan = sandbox.Register("portscan/scan", func(ctx context.Context, _ *sandbox.Inside, q question) (findings, error) {
	if q.Unprivileged {
		if err := sandboxtest.DropCapabilities(); err != nil {
			return findings{}, err
		}
	}
	options := portscan.Options{Protocol: q.Protocol, Addr: netip.MustParseAddr(q.Addr), Engine: q.Engine}
	if q.Ports != "" {
		var err error
		if options.Ports, err = portset.Parse(q.Ports); err != nil {
			return findings{}, err
		}
	}
	r, err := portscan.Scan(ctx, options)
	if err != nil {
		return findings{}, err
	}
	f := findings{Engine: r.Engine}
	if q.Compare {
		c, err := portscan.Compare(ctx, r)
		if err != nil {
			return f, err
		}
		for _, d := range c.Disagreements {
			text := fmt.Sprintf("%s %d %s", d.Kind, d.Port, d.Answer.Text(r.Addr))
			if d.Backlogged {
				text += ", backlog full"
			}
			for _, s := range d.Sockets {
				text += fmt.Sprintf(", %s", s.Protocol)
			}
			f.Disagreements = append(f.Disagreements, text)
		}
	}
	for _, part := range r.Ranges() {
		f.Ranges = append(f.Ranges, part.Range.String()+" "+part.Answer.Text(r.Addr))
	}
	return f, nil
})

// plant is a socket that is there while the sandbox is.
type plant struct {
	Kind sock.Kind
	At   string
	// Backlog is that of a TCP listener. A negative one does not listen.
	Backlog int
	// Echo answers datagrams; without it they wait unread.
	Echo bool
	// Read takes datagrams from the queue and answers nothing.
	Read bool
}

var serve = sandbox.Register("portscan/serve", func(_ context.Context, _ *sandbox.Inside, plants []plant) (struct{}, error) {
	// Rules that reject on the way out are held to limits that all namespaces share.
	if err := stage.LiftErrorLimits(); err != nil {
		return struct{}{}, err
	}
	for _, p := range plants {
		at := netip.MustParseAddrPort(p.At)
		family := sock.IPv4
		if at.Addr().Is6() {
			family = sock.IPv6
		}
		s, err := sock.New(p.Kind, family)
		if err != nil {
			return struct{}{}, err
		}
		if err := s.Bind(at); err != nil {
			return struct{}{}, fmt.Errorf("bind %s: %w", p.At, err)
		}
		if p.Kind == sock.TCP && p.Backlog >= 0 {
			if err := s.Listen(p.Backlog); err != nil {
				return struct{}{}, err
			}
		}
		if p.Echo || p.Read {
			go func() {
				for buf := make([]byte, 100); ; {
					n, from, err := s.RecvFrom(context.Background(), buf, 0)
					if err != nil {
						return
					}
					if p.Echo {
						_, _ = s.SendTo(context.Background(), buf[:n], from, 0)
					}
				}
			}()
		}
		kept = append(kept, s)
	}
	return struct{}{}, nil
})

// kept keeps the plants from being collected, which would close them.
var kept []*sock.Socket

// world starts a sandbox of one zone in which the nft(8) rules hold, and with
// the plants in it.
func world(t *testing.T, plants []plant, rules ...string) *sandbox.Sandbox {
	t.Helper()
	var commands []string
	if len(rules) > 0 {
		if _, err := exec.LookPath("nft"); err != nil {
			t.Skip("nft is not installed here (Debian package nftables)")
		}
		for _, rule := range rules {
			commands = append(commands, "nft '"+rule+"'")
		}
	}
	defer sandbox.Damage(commands...)()
	s := sandboxtest.Start(t, sandbox.Config{})
	if _, err := serve.Call(t.Context(), s, "", plants); err != nil {
		t.Fatal(err)
	}
	return s
}

func ask(t *testing.T, s *sandbox.Sandbox, q question) findings {
	t.Helper()
	f, err := scan.Call(t.Context(), s, "", q)
	if err != nil {
		t.Fatalf("%+v: %v", q, err)
	}
	return f
}

// engines are the ways to ask a protocol.
var engines = []struct {
	kind   sock.Kind
	engine portscan.Engine
}{{sock.TCP, portscan.Raw}, {sock.TCP, portscan.Connect}, {sock.UDP, portscan.Datagram}}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if strings.Join(got, "; ") != strings.Join(want, "; ") {
		_, _, line, _ := runtime.Caller(1)
		t.Errorf("line %d: %s: got %q, want %q", line, what, got, want)
	}
}
