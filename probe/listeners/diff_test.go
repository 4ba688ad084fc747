package listeners

import (
	"fmt"
	"net/netip"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func at(port uint16, cookie uint64) Listener {
	return Listener{Protocol: "tcp", Address: netip.IPv6Unspecified(), Port: port, Cookie: cookie}
}

func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		before, after  []Listener
		opened, closed string
	}{
		"nothing":                         {nil, nil, "[]", "[]"},
		"the same":                        {[]Listener{at(1, 7), at(2, 8)}, []Listener{at(2, 8), at(1, 7)}, "[]", "[]"},
		"one opens":                       {[]Listener{at(1, 7)}, []Listener{at(1, 7), at(2, 8)}, "[2/8]", "[]"},
		"one closes":                      {[]Listener{at(1, 7), at(2, 8)}, []Listener{at(2, 8)}, "[]", "[1/7]"},
		"another at the same address":     {[]Listener{at(1, 7)}, []Listener{at(1, 8)}, "[1/8]", "[1/7]"},
		"one of a prefork group closes":   {[]Listener{at(1, 7), at(1, 8), at(1, 9)}, []Listener{at(1, 7), at(1, 9)}, "[]", "[1/8]"},
		"a file against the machine":      {[]Listener{at(1, 0), at(2, 0)}, []Listener{at(1, 7), at(3, 8)}, "[3/8]", "[2/0]"},
		"groups are counted without them": {[]Listener{at(1, 0), at(1, 0)}, []Listener{at(1, 0), at(1, 0), at(1, 0)}, "[1/0]", "[]"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			opened, closed := Diff(List{Listeners: c.before}, List{Listeners: c.after})
			brief := func(all []Listener) string {
				texts := []string{}
				for _, l := range all {
					texts = append(texts, fmt.Sprintf("%d/%d", l.Port, l.Cookie))
				}
				return fmt.Sprint(texts)
			}
			g.Expect(brief(opened)).To(Equal(c.opened))
			g.Expect(brief(closed)).To(Equal(c.closed))
		})
	}
}

func TestDiffTellsProtocolsAndAddressesApart(t *testing.T) {
	g := NewWithT(t)
	tcp := at(53, 0)
	udp, loopback := tcp, tcp
	udp.Protocol, loopback.Address = "udp", netip.IPv6Loopback()
	opened, closed := Diff(List{Listeners: []Listener{tcp}}, List{Listeners: []Listener{udp, loopback}})
	g.Expect(opened).To(Equal([]Listener{udp, loopback}))
	g.Expect(closed).To(Equal([]Listener{tcp}))
}

func TestUnseenSaysHowToSeeMore(t *testing.T) {
	g := NewWithT(t)
	g.Expect(unseenOf(&socktable.Table{})).To(BeEmpty())
	lines := unseenOf(&socktable.Table{
		Gaps: []socktable.Gap{
			{Protocol: socktable.UDP, Family: sock.IPv6, Listed: true, Err: errNoModule},
			{Protocol: socktable.TCP, Err: errForbidden},
			{Protocol: socktable.TCP, Listed: true, Err: fmt.Errorf("changed each of the 5 times it was read")},
		},
		Unreadable: 1, HiddenProcesses: true,
	})
	g.Expect(lines).To(HaveExactElements(
		HaveSuffix(": load the kernel module udp_diag"),
		HaveSuffix(": allow sock_diag(7), which seccomp profiles can forbid"),
		HaveSuffix(": ask again when fewer sockets open and close"),
		HavePrefix("1 process may not be looked into"),
		HavePrefix("/proc does not list every process"),
	))
	g.Expect(lines[0]).To(HavePrefix("udp over IPv6 listed in part: "))
	g.Expect(unseenOf(&socktable.Table{Unreadable: 2})).To(ConsistOf(HavePrefix("2 processes may not")))
}

func TestText(t *testing.T) {
	g := NewWithT(t)
	l := Listener{
		Protocol: "tcp", Address: netip.IPv6Unspecified(), Port: 80, Scope: Every, IPv4Too: true,
		PID: 812, User: "www-data", Unit: "nginx.service", Container: "docker 3f4e1a2b9c0d",
		Owners: []Owner{{PID: 812, Process: "nginx"}, {PID: 813, Process: "nginx"}, {PID: 1, Process: "systemd"}},
	}
	g.Expect(l.String()).To(Equal("tcp [::]:80 and IPv4, every interface, nginx, systemd (pid 812, 2 more, user www-data), nginx.service, docker 3f4e1a2b9c0d"))
	l = Listener{Protocol: "udp", Address: netip.MustParseAddr("192.0.2.1"), Port: 53, Scope: Interface}
	g.Expect(l.String()).To(Equal("udp 192.0.2.1:53, one address"))
	l.Unowned = "not allowed to look"
	g.Expect(l.String()).To(Equal("udp 192.0.2.1:53, one address, not allowed to look"))
	g.Expect(Backlog{Waiting: 1, Limit: 128}.String()).To(Equal("1 of 128"))
}

var (
	errNoModule  = fmt.Errorf("ask sock_diag: %w", syscall.ENOENT)
	errForbidden = fmt.Errorf("ask sock_diag: %w", syscall.EACCES)
)
