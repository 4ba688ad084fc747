package resolve_test

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/resolve"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

var files = resolve.Files{Hosts: "127.1.2.3 nobody-else.example\n", Sources: "hosts: files dns\n", Resolver: resolve.StubResolver}

type seen struct {
	Addrs, Other []netip.Addr
	Asked        []string
	NoGetent     bool
	Passwd       string
}

// lookUp looks a name up in the hosts file, and one that DNS has.
func lookUp(ctx context.Context, install func() error) (s seen, err error) {
	if err := install(); err != nil {
		return s, err
	}
	s.Addrs, err = resolve.Addresses(ctx, "nobody-else.example")
	if errors.Is(err, resolve.ErrNoGetent) {
		s.NoGetent = true
		return s, nil
	}
	if err != nil {
		return s, err
	}
	text, err := os.ReadFile("/etc/passwd")
	s.Passwd = string(text)
	return s, err
}

var inZone = sandbox.Register("resolve/test", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (s seen, err error) {
	stub, err := resolve.Serve(netip.MustParseAddrPort("127.0.0.1:53"), map[string]netip.Addr{"localhost.": netip.MustParseAddr("127.53.53.53")})
	if err != nil {
		return s, err
	}
	defer stub.Close()
	if s, err = lookUp(ctx, files.Install); err != nil || s.NoGetent {
		return s, err
	}
	if s.Other, err = resolve.Addresses(ctx, "localhost"); err != nil {
		return s, err
	}
	s.Asked = stub.Asked()
	_, err = resolve.Addresses(ctx, "nowhere.example")
	if errors.Is(err, resolve.ErrNotFound) {
		err = nil
	}
	return s, err
})

func start(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	box, err := sandbox.Start(t.Context(), sandbox.Config{})
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { box.Close() })
	return box
}

func TestFilesAreThoseOfTheSandbox(t *testing.T) {
	g := NewWithT(t)
	passwd, err := os.ReadFile("/etc/passwd")
	g.Expect(err).NotTo(HaveOccurred())
	s, err := inZone.Call(t.Context(), start(t), "", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	if s.NoGetent {
		t.Skip("there is no getent")
	}
	g.Expect(s.Addrs).To(Equal([]netip.Addr{netip.MustParseAddr("127.1.2.3")}))
	g.Expect(s.Other).To(Equal([]netip.Addr{netip.MustParseAddr("127.53.53.53")}))
	g.Expect(s.Asked).To(Equal([]string{"localhost."}))
	g.Expect(s.Passwd).To(Equal(string(passwd)))
}
