package exposure

import (
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/listeners"
)

func listener(process, address string, port uint16, scope listeners.Scope) listeners.Listener {
	return listeners.Listener{Protocol: "tcp", Process: process, Address: netip.MustParseAddr(address), Port: port, Scope: scope}
}

func TestServicesOffLoopback(t *testing.T) {
	g := NewWithT(t)
	all := []listeners.Listener{
		listener("redis-server", "127.0.0.1", 6379, listeners.Loopback),
		listener("redis-server", "0.0.0.0", 6379, listeners.Every),
		listener("postgres", "192.0.2.1", 5432, listeners.Interface),
		listener("sshd", "0.0.0.0", 22, listeners.Every),
		listener("", "::", 11211, listeners.Every),
		listener("memcached", "224.0.0.1", 11211, listeners.Every),
	}
	names := func(found []Service) (names []string) {
		for _, s := range found {
			names = append(names, s.Label())
		}
		return names
	}
	g.Expect(names(OffLoopback(all))).To(Equal([]string{"Redis", "PostgreSQL", "memcached (by its port)"}))
	g.Expect(names(Everywhere(all))).To(Equal([]string{"Redis", "memcached (by its port)"}))
	for _, s := range OffLoopback(all) {
		g.Expect(s.KeepsData()).To(BeTrue(), s.Label())
	}
}

func TestAddressesThatAListenerTakes(t *testing.T) {
	for _, c := range []struct {
		bound   string
		too     bool
		asked   string
		takesIt bool
	}{
		{"0.0.0.0", false, "192.0.2.1", true},
		{"0.0.0.0", false, "2001:db8::1", false},
		{"::", true, "192.0.2.1", true},
		{"::", false, "192.0.2.1", false},
		{"::", false, "2001:db8::1", true},
		{"192.0.2.1", false, "192.0.2.1", true},
		{"192.0.2.1", false, "192.0.2.2", false},
	} {
		s := Service{Listener: listeners.Listener{Address: netip.MustParseAddr(c.bound), IPv4Too: c.too}}
		if got := s.Takes(netip.MustParseAddr(c.asked)); got != c.takesIt {
			t.Errorf("bound to %s, asked at %s: %t", c.bound, c.asked, got)
		}
	}
}
