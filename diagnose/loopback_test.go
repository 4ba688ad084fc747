package diagnose

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

var soundLoopback = loopback{name: "lo", up: true, addresses: []netip.Prefix{
	netip.MustParsePrefix("127.0.0.1/8"), netip.MustParsePrefix("::1/128"),
}}

func TestLoopbackCauses(t *testing.T) {
	address := netip.MustParsePrefix("127.0.0.1/8")
	for name, c := range map[string]struct {
		lo      loopback
		ipv6    bool
		err     error
		cause   string
		command string
	}{
		"healthy":    {lo: loopback{name: "lo", up: true, addresses: []netip.Prefix{address}}},
		"down":       {lo: loopback{name: "lo"}, cause: "lo-down", command: "ip link set dev lo up"},
		"no address": {lo: loopback{name: "lo", up: true}, cause: "lo-without-127.0.0.1", command: "ip address add 127.0.0.1/8 dev lo"},
		"no IPv6 address": {
			lo: loopback{name: "lo", up: true, addresses: []netip.Prefix{address}}, ipv6: true,
			cause: "lo-without-::1", command: "sysctl -w net.ipv6.conf.lo.disable_ipv6=1 net.ipv6.conf.lo.disable_ipv6=0",
		},
		"IPv6 alone":      {lo: loopback{name: "lo", up: true, addresses: []netip.Prefix{netip.MustParsePrefix("::1/128")}}, ipv6: true},
		"no interface":    {cause: "lo-missing"},
		"cannot be asked": {err: errors.New("no netlink")},
	} {
		t.Run(name, func(t *testing.T) {
			real := readLoopback
			t.Cleanup(func() { readLoopback = real })
			readLoopback = func() (loopback, error) { return c.lo, c.err }

			found := Find(t.Context(), Symptom{Check: "PING-001", IPv6: c.ipv6}).Findings
			if c.cause == "" {
				if len(found) != 0 {
					t.Fatalf("found %+v", found)
				}
				return
			}
			if len(found) != 1 || found[0].Cause.ID != c.cause || found[0].Cause.Summary == "" || len(found[0].Cause.Evidence) == 0 {
				t.Fatalf("found %+v, want %s with evidence", found, c.cause)
			}
			var commands []string
			for _, r := range found[0].Remedies {
				if r.Cause != c.cause {
					t.Errorf("remedy %+v belongs to no cause that was found", r)
				}
				commands = append(commands, r.Command)
			}
			if strings.Join(commands, ";") != c.command {
				t.Errorf("remedies %q, want %q", commands, c.command)
			}
		})
	}
}

// The machine that runs the tests has a loopback to listen on.
func TestThisMachinesLoopbackIsRead(t *testing.T) {
	lo, err := readLoopback()
	if err != nil || lo.name == "" || len(lo.addresses) == 0 {
		t.Errorf("%+v, %v", lo, err)
	}
}
