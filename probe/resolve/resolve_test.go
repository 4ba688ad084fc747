package resolve

import (
	"context"
	"net"
	"net/netip"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"golang.org/x/net/dns/dnsmessage"
)

func TestStubAnswersAndNotes(t *testing.T) {
	g := NewWithT(t)
	known := netip.MustParseAddr("127.53.53.53")
	stub, err := Serve(netip.MustParseAddrPort("127.0.0.1:0"), map[string]netip.Addr{"here.example.": known})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { stub.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	t.Cleanup(cancel)
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", stub.Addr().String())
	}}
	g.Expect(resolver.LookupNetIP(ctx, "ip", "here.example.")).To(Equal([]netip.Addr{known}))
	g.Expect(stub.Asked()).To(Equal([]string{"here.example."}))
	g.Expect(stub.Asked()).To(BeEmpty())
	_, err = resolver.LookupNetIP(ctx, "ip", "there.example.")
	g.Expect(err).To(MatchError(ContainSubstring("no such host")))
	g.Expect(stub.Asked()).To(Equal([]string{"there.example."}))

	_, err = Serve(stub.Addr(), nil)
	g.Expect(err).To(MatchError(ContainSubstring("address already in use")))
}

func TestAddressesOfGetent(t *testing.T) {
	NewWithT(t).Expect(parseAddresses("::1             STREAM localhost\n::1 DGRAM\n127.0.0.1 STREAM\n\nnonsense\n::ffff:127.0.0.1 RAW\n")).To(Equal(
		[]netip.Addr{netip.IPv6Loopback(), netip.MustParseAddr("127.0.0.1")}))
}

func FuzzStub(f *testing.F) {
	question, err := (&dnsmessage.Message{Questions: []dnsmessage.Question{{
		Name: dnsmessage.MustNewName("here.example."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET,
	}}}).Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(question)
	f.Add(question[:12])
	s := Stub{known: map[string]netip.Addr{"here.example.": netip.MustParseAddr("127.0.0.1")}}
	f.Fuzz(func(t *testing.T, packet []byte) {
		answer, name, err := s.answer(packet)
		if err == nil && (name == "" || len(answer) < 12) {
			t.Errorf("%q was answered with % x", name, answer)
		}
	})
}
