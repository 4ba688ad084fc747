package ports

import (
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

func TestEveryCheckPassesWithoutIPv6(t *testing.T) {
	damage.EveryCheckPasses(t, []string{"sysctl -e -w net.ipv6.conf.lo.disable_ipv6=1"})
}

// network gives the namespace an address besides those of lo.
var network = []string{
	"ip link add lab0 type veth peer name lab1", "ip link set lab1 up", "ip link set lab0 up",
	"ip address add 192.0.2.1/24 dev lab0",
}

// Nobody else reaches a service of a machine that has no network.
func TestServicesOfALonelyMachineAreNotAsked(t *testing.T) {
	outcome := damage.Outcomes(t, nil, "PORT-016")["PORT-016"]
	if outcome.State != check.Pass {
		t.Errorf("%s: %s", outcome.State, outcome.Message)
	}
}

// Settings that somebody has chosen are no faults.
func TestEveryCheckPassesWithUnusualSettings(t *testing.T) {
	for name, setup := range map[string][]string{
		"few ephemeral ports":           {"sysctl -qw net.ipv4.ip_local_port_range='40000 40007'"},
		"all ports ephemeral":           {"sysctl -qw net.ipv4.ip_local_port_range='1024 65535'"},
		"ports reserved":                {"sysctl -qw net.ipv4.ip_local_reserved_ports=62893,32768-60000"},
		"every port unprivileged":       {"sysctl -qw net.ipv4.ip_unprivileged_port_start=0"},
		"IPv6 apart":                    {"sysctl -e -qw net.ipv6.bindv6only=1"},
		"addresses bound before theirs": {"sysctl -qw net.ipv4.ip_nonlocal_bind=1", "sysctl -e -qw net.ipv6.ip_nonlocal_bind=1"},
		"an address for documentation":  network,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			damage.EveryCheckPasses(t, setup)
		})
	}
}

func TestChecksFailInADamagedStack(t *testing.T) {
	// The address of an IPv4 socket.
	const inet = 16
	damage.Table(t, map[string]damage.Case{
		"lo down, without its address": {
			Setup:  []string{"ip address flush dev lo", "ip link set lo down"},
			Filter: "ports && !PORT-007",
			Want: map[string]string{
				"PORT-001": "cannot assign requested address",
				"PORT-005": "cannot assign requested address",
				"PORT-006": "cannot assign requested address",
				"PORT-008": "cannot assign requested address",
				"PORT-009": "cannot assign requested address",
				"PORT-010": "cannot assign requested address",
				"PORT-011": "cannot assign requested address",
				"PORT-012": "cannot assign requested address",
				"PORT-013": "1-65535: cannot assign requested address",
				"PORT-014": "127.0.0.1 is no address of this machine (no route leads there)",
				"PORT-015": "cannot assign requested address",
			},
		},
		"ports chosen outside the range": {
			Filter:   "PORT-001",
			Syscalls: []damage.Syscall{{Name: "bind", Length: inet}},
			Want:     map[string]string{"PORT-001": "ports that bind chose for tcp over IPv4 outside of 32768 to 60999\nExpected\n    [0, 0, "},
		},
		"no port left": {
			Setup: []string{
				"sysctl -qw net.ipv4.ip_local_port_range='40000 40007'",
				"sysctl -qw net.ipv4.ip_local_reserved_ports=40000-40007",
			},
			Filter: "PORT-001",
			Want:   map[string]string{"PORT-001": "socket 1 of 32, with ports from 40000 to 40007 to choose from"},
		},
		"127.0.0.1/32": {
			Setup:  []string{"ip address del 127.0.0.1/8 dev lo", "ip address add 127.0.0.1/32 dev lo"},
			Filter: "ports",
			Want:   map[string]string{"PORT-008": "cannot assign requested address"},
		},
		"conflict not seen": {
			Filter:   "PORT-008",
			Syscalls: []damage.Syscall{{Name: "bind", Length: inet}},
			Want:     map[string]string{"PORT-008": "is bound\nExpected an error, got nil"},
		},
		"conflict where none is": {
			Filter:   "PORT-008",
			Syscalls: []damage.Syscall{{Name: "bind", Length: inet, Errno: syscall.EADDRINUSE}},
			Want:     map[string]string{"PORT-008": "address already in use"},
		},
		"a second listener let in": {
			Filter:   "PORT-009",
			Syscalls: []damage.Syscall{{Name: "listen"}},
			Want:     map[string]string{"PORT-009": "the second listener with SO_REUSEADDR on 127.0.0.1:"},
		},
		"SO_REUSEADDR without effect": {
			Filter:   "PORT-009",
			Syscalls: []damage.Syscall{{Name: "listen", Errno: syscall.EADDRINUSE}},
			Want:     map[string]string{"PORT-009": "the first socket with SO_REUSEADDR on 127.0.0.1:"},
		},
		"TCP to a dynamic port dropped": {
			Setup:  damage.Input("tcp dport 62893 drop"),
			Filter: "PORT-015 || PORT-009",
			Want:   map[string]string{"PORT-015": "echo over tcp from 127.0.0.1:62893"},
		},
		"UDP to a dynamic port refused": {
			Setup:  damage.Input("udp dport 62893 reject"),
			Filter: "PORT-015",
			Want:   map[string]string{"PORT-015": "echo over udp from 127.0.0.1:62893"},
		},
		"TCP to a dynamic port of ::1 refused": {
			Setup:  damage.Input("meta nfproto ipv6 tcp dport 62893 reject with tcp reset"),
			Filter: "PORT-015",
			Want:   map[string]string{"PORT-015": "connection refused"},
			IPv6:   true,
		},
		"echo rewritten": {
			// The first byte behind the header of UDP.
			Setup:  damage.Input("udp sport 62893 @th,64,8 set 0x55"),
			Filter: "PORT-015",
			Want:   map[string]string{"PORT-015": "1400 bytes came back changed"},
		},
		"low ports given to anyone": {
			Filter:   "PORT-007",
			Syscalls: []damage.Syscall{{Name: "bind", Length: inet}},
			Want:     map[string]string{"PORT-007": "bind tcp 127.0.0.1:1 without CAP_NET_BIND_SERVICE, net.ipv4.ip_unprivileged_port_start at 1024\nExpected an error, got nil"},
		},
		"low ports given to nobody": {
			Filter:   "PORT-007",
			Syscalls: []damage.Syscall{{Name: "bind", Length: inet, Errno: syscall.EACCES}},
			Want:     map[string]string{"PORT-007": "bind tcp 127.0.0.1:1 with CAP_NET_BIND_SERVICE, net.ipv4.ip_unprivileged_port_start at 1024\nExpected success"},
		},
		"ports that nobody has refused": {
			Filter:   "PORT-013",
			Syscalls: []damage.Syscall{{Name: "bind", Length: inet, Errno: syscall.EPERM}},
			Want:     map[string]string{"PORT-013": "tcp ports of 127.0.0.1 that cannot be bound, though nobody holds them\nExpected\n    1-65535: operation not permitted"},
		},
		"ports dropped": {
			Setup:  damage.Input("tcp dport 7000-7009 drop"),
			Filter: "PORT-013 || PORT-014",
			Want:   map[string]string{"PORT-014": "ports of 127.0.0.1 that answer otherwise than the socket table says\nExpected\n    7000-7009: dropped\nto be empty"},
		},
		"one port rejected": {
			Setup:  damage.Input("tcp dport 7000 reject with icmpx admin-prohibited"),
			Filter: "PORT-014",
			Want:   map[string]string{"PORT-014": "7000: rejected with icmp admin-prohibited (type 3, code 13)"},
		},
		"everything dropped": {
			Setup:  damage.Input("meta l4proto tcp drop"),
			Filter: "PORT-014",
			Want:   map[string]string{"PORT-014": "1-65535: dropped"},
		},
		"ports of ::1 dropped on the way out": {
			Setup:  damage.Hook("output", 0, "meta nfproto ipv6 tcp dport 62893 drop"),
			Filter: "PORT-014",
			Want:   map[string]string{"PORT-014": "62893: dropped"},
			IPv6:   true,
		},
		"a Redis for everybody": {
			Setup:  network,
			Filter: "PORT-016",
			Want:   map[string]string{"PORT-016": "Redis (by its port), tcp 0.0.0.0:6379, every interface, "},
		},
		"no address in the sandbox": {
			Sandboxes: []string{"ip address flush dev lo"},
			Filter:    "ports",
			Want: map[string]string{
				"PORT-002": "cannot assign requested address",
				"PORT-003": "cannot assign requested address",
				"PORT-004": "cannot assign requested address",
				"PORT-007": "cannot assign requested address",
			},
		},
	})
}
