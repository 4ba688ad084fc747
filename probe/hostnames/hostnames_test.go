package hostnames

import (
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"
)

func TestHosts(t *testing.T) {
	g := NewWithT(t)
	g.Expect(ParseHosts("# 1.2.3.4 localhost\n\n127.0.0.1\tLocalHost here # mine\n::1 localhost\n127.0.0.2\nnonsense localhost\n::ffff:10.0.0.1 mapped")).To(Equal([]Host{
		{Line: 3, Text: "127.0.0.1 LocalHost here", Addr: netip.MustParseAddr("127.0.0.1"), Names: []string{"LocalHost", "here"}},
		{Line: 4, Text: "::1 localhost", Addr: netip.IPv6Loopback(), Names: []string{"localhost"}},
		{Line: 7, Text: "::ffff:10.0.0.1 mapped", Addr: netip.MustParseAddr("10.0.0.1"), Names: []string{"mapped"}},
	}))
	g.Expect(Host{Names: []string{"LOCALhost"}}.Has("localhost")).To(BeTrue())
	g.Expect(Host{Names: []string{"localhost.localdomain"}}.Has("localhost")).To(BeFalse())
}

func TestSources(t *testing.T) {
	for text, want := range map[string][]string{
		"passwd: files\nhosts: files dns\n":                         {"files", "dns"},
		"hosts:\tdns  files # or so":                                {"dns", "files"},
		"hosts:files\nhosts: dns":                                   {"dns"},
		"hosts : mymachines resolve [!UNAVAIL=return] files dns":    {"mymachines", "resolve", "[!UNAVAIL=return]", "files", "dns"},
		"hosts: resolve[SUCCESS=return NOTFOUND=continue]files dns": {"resolve", "[SUCCESS=return NOTFOUND=continue]", "files", "dns"},
		"hosts: files [NOTFOUND":                                    {"files", "[NOTFOUND"},
	} {
		sources, found := ParseSources(text)
		g := NewWithT(t)
		g.Expect(found).To(BeTrue(), "%q", text)
		g.Expect(sources.Names).To(Equal(want), "%q", text)
	}
	for _, text := range []string{"", "passwd: files", "# hosts: files", "hostsfile: dns"} {
		_, found := ParseSources(text)
		NewWithT(t).Expect(found).To(BeFalse(), "%q", text)
	}
}

func TestServers(t *testing.T) {
	NewWithT(t).Expect(ParseServers("; nameserver 192.0.2.1\nsearch .\nnameserver 127.0.0.53\nnameserver\nnameserver x\nnameserver fe80::1%eth0\nnameserver 192.0.2.2\nnameserver 192.0.2.3\n")).To(Equal([]Server{
		{Line: 3, Addr: netip.MustParseAddr("127.0.0.53")},
		{Line: 6, Addr: netip.MustParseAddr("fe80::1%eth0")},
		{Line: 7, Addr: netip.MustParseAddr("192.0.2.2")},
	}))
}

func FuzzFiles(f *testing.F) {
	f.Add("127.0.0.1 localhost\nhosts: files [x] dns\nnameserver ::1\n")
	f.Add("hosts: [ [")
	f.Fuzz(func(t *testing.T, text string) {
		for _, h := range ParseHosts(text) {
			if h.Line < 1 || !h.Addr.IsValid() || len(h.Names) == 0 {
				t.Errorf("%+v", h)
			}
		}
		if s, found := ParseSources(text); found && s.Line < 1 {
			t.Errorf("%+v", s)
		}
		if servers := ParseServers(text); len(servers) > maxServers {
			t.Errorf("%+v", servers)
		}
	})
}
