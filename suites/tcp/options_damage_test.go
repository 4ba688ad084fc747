package tcp

import (
	"slices"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// askOptionsOnly are the checks that connect to nobody.
var askOptionsOnly = []string{"TCP-074", "TCP-075", "TCP-077", "TCP-078", "TCP-080", "TCP-081"}

// Numbers of include/uapi/asm-generic/socket.h, include/uapi/linux/in.h and
// include/uapi/linux/tcp.h.
const (
	soMark        = 36
	soBindDevice  = 25
	ipTransparent = 19
	tcpMaxSegment = 2
	tcpKeepIdle   = 4
	tcpKeepCount  = 6
	tcpSynCount   = 7
	tcpInfo       = 11
	tcpCongestion = 13
	tcpRepair     = 19
	unknownOption = 9999
)

func TestOptionChecksFailInADamagedStack(t *testing.T) {
	// answered is a case in which one system call is answered so.
	answered := func(id, message string, calls ...damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: calls, Want: map[string]string{id: message}}
	}
	set := func(level, name int, errno syscall.Errno) damage.Syscall {
		return damage.Syscall{Name: "setsockopt", Arguments: damage.Option(level, name), Errno: errno}
	}
	get := func(level, name int, errno syscall.Errno) damage.Syscall {
		return damage.Syscall{Name: "getsockopt", Arguments: damage.Option(level, name), Errno: errno}
	}
	opened := func(domain, kind, protocol int, errno syscall.Errno) damage.Syscall {
		return damage.Syscall{Name: "socket", Arguments: map[int]uint32{0: uint32(domain), 1: uint32(kind), 2: uint32(protocol)}, Errno: errno}
	}
	const socketLevel, ip, tcp = solSocket, syscall.IPPROTO_IP, syscall.IPPROTO_TCP
	damage.Table(t, map[string]damage.Case{
		"another default": answered("TCP-074", "TCP_MAXSEG of a fresh socket", get(tcp, tcpMaxSegment, 0)),
		"a setting that does not reach the sockets": answered("TCP-074", "TCP_SYNCNT of a fresh socket, where net.ipv4.tcp_syn_retries is 6",
			get(tcp, tcpSynCount, 0)),
		"values out of range taken":            answered("TCP-075", "setting TCP_SYNCNT, which goes from 1 to 127, to 0", set(tcp, tcpSynCount, 0)),
		"values out of range taken, keepalive": answered("TCP-075", "setting TCP_KEEPCNT, which goes from 1 to 127, to 0", set(tcp, tcpKeepCount, 0)),
		"values in range refused":              answered("TCP-075", "TCP_KEEPIDLE from 1 to 32767", set(tcp, tcpKeepIdle, syscall.EINVAL)),
		"segment size ignored":                 answered("TCP-076", "bytes of the segments that the client sends", set(tcp, tcpMaxSegment, 0)),
		"segment size not told":                answered("TCP-076", "read back", get(tcp, tcpMaxSegment, 0)),
		"unknown option taken":                 answered("TCP-077", "setting option 9999 of IPPROTO_TCP", set(tcp, unknownOption, 0)),
		"unknown option read":                  answered("TCP-077", "reading option 9999 of SOL_SOCKET", get(socketLevel, unknownOption, syscall.EINVAL)),
		"no congestion control told":           answered("TCP-078", "TCP_CONGESTION of a fresh socket", get(tcp, tcpCongestion, 0)),
		"unknown congestion control":           answered("TCP-078", "that there is none of", set(tcp, tcpCongestion, syscall.EPERM)),
		"allowed congestion control refused": answered("TCP-078", "which net.ipv4.tcp_allowed_congestion_control lists",
			set(tcp, tcpCongestion, syscall.ENOENT)),
		"unknown family":           answered("TCP-080", "opening an unknown address family", opened(255, syscall.SOCK_STREAM, 0, syscall.EPERM)),
		"stream of UDP":            answered("TCP-080", "opening a stream of UDP", opened(syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_UDP, syscall.EINVAL)),
		"pair of IPv4":             answered("TCP-080", "opening a pair", damage.Syscall{Name: "socketpair", Errno: syscall.EAFNOSUPPORT}),
		"raw sockets for everyone": answered("TCP-081", "opening a raw socket", opened(syscall.AF_INET, syscall.SOCK_RAW, tcp, syscall.EACCES)),
		"marks for everyone":       answered("TCP-081", "setting SO_MARK", set(socketLevel, soMark, 0)),
		"any address for everyone": answered("TCP-081", "setting IP_TRANSPARENT", set(ip, ipTransparent, 0)),
		"repair for everyone":      answered("TCP-081", "setting TCP_REPAIR", set(tcp, tcpRepair, 0)),
		"no device for everyone":   answered("TCP-081", "binding to lo", set(socketLevel, soBindDevice, syscall.ENOPROTOOPT)),
		"no TCP_INFO":              answered("TCP-082", "TCP_INFO", get(tcp, tcpInfo, syscall.ENOPROTOOPT)),
	})
}

func TestTCPInfoChecksFailInADamagedStack(t *testing.T) {
	stripped := func(options ...string) []string {
		rules := damage.Input("tcp flags & (fin|syn|rst) == syn reset tcp option " + options[0])
		for _, option := range options[1:] {
			rules = append(rules, "nft add rule inet broken input 'tcp flags & (fin|syn|rst) == syn reset tcp option "+option+"'")
		}
		return rules
	}
	const both = "TCP-079 || TCP-083"
	damage.Table(t, map[string]damage.Case{
		"timestamps stripped": {
			Setup: stripped("timestamp"), Filter: both,
			Want: map[string]string{"TCP-079": "whether the client has timestamps, where net.ipv4.tcp_timestamps is 1"},
		},
		"SACK stripped": {
			Setup: stripped("sack-perm"), Filter: both,
			Want: map[string]string{"TCP-079": "whether the client has SACK, where net.ipv4.tcp_sack is 1"},
		},
		"window scaling stripped": {
			Setup: stripped("window"), Filter: both,
			Want: map[string]string{
				"TCP-079": "whether the client has window scaling, where net.ipv4.tcp_window_scaling is 1",
				"TCP-083": "whether the windows of the client are scaled",
			},
		},
		"ECN cleared": {
			Setup: slices.Concat([]string{"sysctl -w net.ipv4.tcp_ecn=1"},
				damage.Input("tcp flags & (syn|ack) == syn @th,104,8 set 0x02")),
			Filter: both,
			Want:   map[string]string{"TCP-079": "whether the client has ECN, where net.ipv4.tcp_ecn is 1"},
		},
		"segment size clamped": {
			Setup: damage.Input("tcp flags syn tcp option maxseg size set 1460"), Filter: both,
			Want: map[string]string{"TCP-083": "bytes of the segments that the client sends over an MTU of 65536"},
		},
		"scaling switched off": {
			Setup: []string{"sysctl -qw net.ipv4.tcp_window_scaling=0"}, Filter: "TCP-083",
			Want: map[string]string{"TCP-083": "whether the windows of the client are scaled"},
		},
		"one of 200 segments lost": {
			Setup: damage.Input("meta l4proto tcp numgen inc mod 200 == 199 drop"), Filter: "TCP-082",
			Want: map[string]string{"TCP-082": "that were lost and sent again"},
		},
	})
}

func TestTCPInfoChecksFollowTheSettings(t *testing.T) {
	for name, settings := range map[string][]string{
		"no timestamps":     {"net.ipv4.tcp_timestamps=0"},
		"no SACK":           {"net.ipv4.tcp_sack=0"},
		"ECN":               {"net.ipv4.tcp_ecn=1"},
		"no ECN":            {"net.ipv4.tcp_ecn=0"},
		"cookies":           {"net.ipv4.tcp_syncookies=2"},
		"cookies alone":     {"net.ipv4.tcp_syncookies=2", "net.ipv4.tcp_timestamps=0"},
		"small buffers":     {"net.ipv4.tcp_rmem=4096 8192 16384"},
		"probing":           {"net.ipv4.tcp_mtu_probing=2"},
		"few SYNs":          {"net.ipv4.tcp_syn_retries=2", "net.ipv4.tcp_keepalive_time=60", "net.ipv4.tcp_keepalive_intvl=7", "net.ipv4.tcp_keepalive_probes=3"},
		"another algorithm": {"net.ipv4.tcp_congestion_control=reno"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var setup []string
			for _, setting := range settings {
				setup = append(setup, "sysctl -w '"+setting+"'")
			}
			for id, o := range damage.Outcomes(t, setup, "TCP-074 || TCP-076 || TCP-078 || TCP-079 || TCP-082 || TCP-083") {
				if o.State != check.Pass && o.State != check.Inconclusive {
					t.Errorf("%s: %s: %s", id, o.State, o.Message)
				}
			}
		})
	}
	t.Run("small MTU", func(t *testing.T) {
		for id, o := range damage.Outcomes(t, []string{"ip link set lo mtu 1500"}, "TCP-079 || TCP-082 || TCP-083") {
			if o.State != check.Pass && o.State != check.Inconclusive {
				t.Errorf("%s: %s: %s", id, o.State, o.Message)
			}
		}
	})
}
