package ping

import (
	"slices"
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// Each check is asked in a stack in which the one thing it checks is broken.
func TestChecksFailWhenTheStackIsBroken(t *testing.T) {
	table := []string{
		"nft add table inet broken",
		"nft add chain inet broken in '{ type filter hook input priority -300; }'",
		"nft add chain inet broken early '{ type filter hook prerouting priority -500; }'",
		"nft add chain inet broken out '{ type filter hook output priority 300; }'",
	}
	for _, c := range []struct {
		id, name string
		damage   []string
	}{
		{"PING-001", "echo ignored", []string{"sysctl -qw net.ipv4.icmp_echo_ignore_all=1"}},
		{"PING-001", "TTL rewritten", append(table, "nft add rule inet broken out icmp type echo-reply ip ttl set 33")},
		{"PING-002", "127.0.0.1/32", []string{"ip address del 127.0.0.1/8 dev lo", "ip address add 127.0.0.1/32 dev lo"}},
		{"PING-006", "fragments dropped", append(table, "ip link set dev lo mtu 1500",
			"nft add rule inet broken early 'ip frag-off & 0x3fff != 0 drop'")},
		{"PING-013", "another code", append(table, "nft add rule inet broken in meta l4proto udp reject with icmp admin-prohibited")},
		{"PING-013", "TOS rewritten", append(table, "nft add rule inet broken out icmp type destination-unreachable ip dscp set 0")},
		{"PING-013", "errors dropped", append(table, "nft add rule inet broken in icmp type destination-unreachable drop")},
		{"PING-018", "ICMPv6 dropped", append(table, "nft add rule inet broken in icmpv6 type echo-request drop")},
		{"PING-018", "hop limit rewritten", append(table, "nft add rule inet broken out icmpv6 type echo-reply ip6 hoplimit set 3")},
		{"PING-019", "one in 300 lost", append(table, "nft add rule inet broken in icmp type echo-request numgen inc mod 300 == 7 drop")},
	} {
		t.Run(c.id+" "+c.name, func(t *testing.T) {
			if failed := damage.Run(t, c.damage, c.id); !slices.Equal(failed, []string{c.id}) {
				t.Errorf("failed %v, want %s", failed, c.id)
			}
		})
	}
}

func TestNoIPv6IsASkip(t *testing.T) {
	outcomes := damage.Outcomes(t, []string{"sysctl -qw net.ipv6.conf.all.disable_ipv6=1"}, "PING-018")
	if got := outcomes["PING-018"]; got.State != "skip" {
		t.Errorf("PING-018 without ::1: %s: %s", got.State, got.Message)
	}
}
