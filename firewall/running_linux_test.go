package firewall

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/stage"
)

// runningRules refuse in every way that can be seen without them.
const runningRules = `table inet filter {
	chain input {
		type filter hook input priority 0;
		tcp dport 2049 drop
		tcp dport 6000-6009 reject with icmpx admin-prohibited
		udp dport 111 drop
	}
	chain output {
		type filter hook output priority 0;
		udp dport 69 drop
	}
}
`

// mapRunning loads rules and maps the machine that has them, where somebody
// listens at port 22 and a listener at port 80 takes no more connections.
var mapRunning = sandbox.Register("firewall/map-running", func(ctx context.Context, _ *sandbox.Inside, from []string) (*Maps, error) {
	if err := ruleset.LoadFile(ctx, ruleset.File{Name: "rules", Text: runningRules}); err != nil {
		return nil, err
	}
	for port, backlog := range map[uint16]int{22: 8, 80: 0} {
		s, err := sock.New(sock.TCP, sock.IPv4)
		if err != nil {
			return nil, err
		}
		defer s.Close()
		if err := errors.Join(s.Bind(netip.AddrPortFrom(netip.IPv4Unspecified(), port)), s.Listen(backlog)); err != nil {
			return nil, err
		}
	}
	waiting, err := net.Dial("tcp4", "127.0.0.1:80")
	if err != nil {
		return nil, err
	}
	defer waiting.Close()
	return MapRunning(ctx, RunningOptions{From: from, Protocols: []sock.Kind{sock.TCP, sock.UDP}})
})

func TestMapRunning(t *testing.T) {
	s, err := stage.Start(t.Context(), stage.Config{Zones: []stage.Zone{{Name: "lan", Interface: "eth0", Machine: []netip.Prefix{netip.MustParsePrefix("192.0.2.9/24")}}}})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ask := func(from ...string) (*Maps, error) {
		return mapRunning.Call(t.Context(), s.Sandbox, stage.Machine, from)
	}
	m, err := ask("127.0.0.1", "192.0.2.9", "127.0.0.1")
	if missing, ok := errors.AsType[*ruleset.MissingProgramError](err); ok {
		t.Skip(missing.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := m.check(); err != nil {
		t.Error(err)
	}
	var got []string
	for _, one := range m.Maps {
		for _, r := range one.Ranges {
			got = append(got, fmt.Sprintf("%s %s %s %s", one.Zone, one.Protocol, r.Ports(), r.Outcome()))
		}
	}
	var want []string
	for _, zone := range []string{"127.0.0.1", "192.0.2.9"} {
		for _, line := range []string{
			"tcp 1-2048 accept", "tcp 2049 drop", "tcp 2050-5999 accept", "tcp 6000-6009 reject with icmp admin-prohibited", "tcp 6010-65535 accept",
			"udp 1-68 accept", "udp 69 drop", "udp 70-110 accept", "udp 111 drop", "udp 112-65535 accept",
		} {
			want = append(want, zone+" "+line)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	full := func(note string) bool {
		return strings.HasPrefix(note, "tcp 127.0.0.1:80: dropped because its listener's accept queue is full")
	}
	if !slices.ContainsFunc(m.Notes, full) {
		t.Errorf("no note says why port 80 is silent: %q", m.Notes)
	}
}

func TestMapRunningKnowsItsAddresses(t *testing.T) {
	_, err := MapRunning(t.Context(), RunningOptions{From: []string{"127.0.0.1", "outside"}})
	unknown, ok := errors.AsType[*UnknownZoneError](err)
	if !ok || unknown.Zone != "outside" || !slices.Contains(unknown.Known, "127.0.0.1") {
		t.Errorf("%v", err)
	}
}
