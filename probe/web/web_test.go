package web_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
)

// patience bounds what takes milliseconds.
const patience = 10 * time.Second

// leaksNothing fails a test that leaves goroutines behind when all else is over.
func leaksNothing(t *testing.T) {
	t.Helper()
	before := gleak.Goroutines()
	t.Cleanup(func() {
		NewWithT(t).Eventually(gleak.Goroutines).WithTimeout(patience).ShouldNot(gleak.HaveLeaked(before))
	})
}

func serve(t *testing.T, c webserver.Config) *webserver.Server {
	t.Helper()
	s, err := webserver.Start(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func newClient(t *testing.T, o web.Options) *web.Client {
	t.Helper()
	c, err := web.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func TestEveryVersionTellsItsSteps(t *testing.T) {
	authority, err := webserver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	secure, err := authority.Serve(webserver.Localhost)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		server  webserver.Config
		client  web.Options
		version web.Version
	}{
		"HTTP/1.1":               {webserver.Config{HTTP2: true}, web.Options{}, web.HTTP1},
		"HTTP/2 in cleartext":    {webserver.Config{HTTP2: true}, web.Options{Version: web.HTTP2}, web.HTTP2},
		"HTTP/1.1 over TLS":      {webserver.Config{TLS: secure}, web.Options{TLS: authority.Trust()}, web.HTTP1},
		"HTTP/2 over TLS":        {webserver.Config{TLS: secure, HTTP2: true}, web.Options{TLS: authority.Trust()}, web.HTTP2},
		"HTTP/1.1, asked for it": {webserver.Config{TLS: secure, HTTP2: true}, web.Options{TLS: authority.Trust(), Version: web.HTTP1}, web.HTTP1},
		"HTTP/3":                 {webserver.Config{TLS: secure, HTTP3: true}, web.Options{TLS: authority.Trust(), Version: web.HTTP3}, web.HTTP3},
	} {
		t.Run(name, func(t *testing.T) {
			leaksNothing(t)
			g := NewWithT(t)
			server, client := serve(t, c.server), newClient(t, c.client)
			first, err := client.Get(within(t), server.URLAt("localhost", "/"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(first.Status).To(Equal(http.StatusOK))
			g.Expect(first.Version).To(Equal(c.version))
			g.Expect(string(first.Body)).To(Equal(webserver.Page))
			g.Expect(first.Reused).To(BeFalse())
			steps := first.Timings
			g.Expect(steps.DNS).To(BeNumerically(">", 0))
			g.Expect(steps.Connect > 0).To(Equal(c.version != web.HTTP3), "QUIC has one handshake for both")
			g.Expect(steps.TLS > 0).To(Equal(c.server.TLS != nil))
			g.Expect(steps.FirstByte).To(BeNumerically(">", 0))
			g.Expect(steps.Total).To(BeNumerically(">=", steps.DNS+steps.Connect+steps.TLS+steps.FirstByte))
			g.Expect(first.Remote.Port()).To(Equal(server.Addr().Port()))

			second, err := client.Get(within(t), server.URLAt("localhost", "/"))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(second.Reused).To(BeTrue())
			g.Expect(second.Local).To(Equal(first.Local))
			g.Expect(second.Timings.DNS + second.Timings.Connect + second.Timings.TLS).To(BeZero())
		})
	}
}

func TestFreshConnectionsAreNotKept(t *testing.T) {
	g := NewWithT(t)
	server, client := serve(t, webserver.Config{}), newClient(t, web.Options{Fresh: true})
	for range 3 {
		response, err := client.Get(within(t), server.URL("/"))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(response.Reused).To(BeFalse())
		g.Expect(response.Timings.DNS).To(BeZero(), "an address is not looked up")
	}
	g.Expect(server.Connections()).To(Equal(3))
}

func TestNothingIsSentElsewhere(t *testing.T) {
	for name, url := range map[string]string{
		"an address for documentation": "http://192.0.2.1:80/",
		"one of IPv6":                  "http://[2001:db8::1]:80/",
	} {
		for _, version := range []web.Version{web.Any, web.HTTP3} {
			t.Run(name+string(version), func(t *testing.T) {
				if version == web.HTTP3 {
					url = strings.Replace(url, "http:", "https:", 1)
				}
				_, err := newClient(t, web.Options{Version: version}).Get(within(t), url)
				var elsewhere *web.NotLocalError
				if !errors.As(err, &elsewhere) {
					t.Errorf("error is %v, want a NotLocalError", err)
				}
			})
		}
	}
}

func TestNoNameServerIsAsked(t *testing.T) {
	g := NewWithT(t)
	_, err := newClient(t, web.Options{}).Get(within(t), "http://nobody.example/")
	g.Expect(err).To(MatchError(ContainSubstring("look up the name")))
	failed, is := errors.AsType[*web.Error](err)
	g.Expect(is).To(BeTrue())
	g.Expect(failed.Step).To(Equal(web.Lookup))

	addrs, err := web.Resolve(within(t), "app.LocalHost.")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(addrs).To(ConsistOf(netip.MustParseAddr("127.0.0.1"), netip.IPv6Loopback()))
	_, err = web.Resolve(within(t), "localhost.example")
	_, unknown := errors.AsType[*net.DNSError](err)
	g.Expect(unknown).To(BeTrue(), "%v", err)
}

func TestNamesBelowLocalhostAreLoopbacks(t *testing.T) {
	g := NewWithT(t)
	server := serve(t, webserver.Config{})
	response, err := newClient(t, web.Options{}).Get(within(t), server.URLAt("app.localhost", "/seen"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(response.Body)).To(ContainSubstring(`"host":"app.localhost:`))
}

func TestNoProxyIsUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:9")
	t.Setenv("http_proxy", "http://127.0.0.1:9")
	server := serve(t, webserver.Config{})
	if _, err := newClient(t, web.Options{}).Get(within(t), server.URLAt("app.localhost", "/")); err != nil {
		t.Error(err)
	}
}

func TestErrorsTellTheStep(t *testing.T) {
	authority, err := webserver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	secure, err := authority.Serve(webserver.Localhost)
	if err != nil {
		t.Fatal(err)
	}
	silent := serve(t, webserver.Config{Silent: true})
	tls, garbage := serve(t, webserver.Config{TLS: secure}), sends(t, "SSH-2.0-OpenSSH_9.2\r\n")
	cut := sends(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")
	closed := closedPort(t)
	for name, c := range map[string]struct {
		limit time.Duration
		url   string
		step  web.Step
		want  error
	}{
		"refused":           {patience, "http://" + closed + "/", web.Connect, syscall.ECONNREFUSED},
		"not trusted":       {patience, tls.URL("/"), web.Secure, nil},
		"silent":            {2 * time.Second, silent.URL("/"), web.Header, context.DeadlineExceeded},
		"garbage":           {patience, "http://" + garbage + "/", web.Header, nil},
		"cut off":           {patience, "http://" + cut + "/", web.Body, nil},
		"no TLS over there": {patience, "https://" + garbage + "/", web.Secure, nil},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), c.limit)
			defer cancel()
			_, err := newClient(t, web.Options{}).Get(ctx, c.url)
			failed, is := errors.AsType[*web.Error](err)
			if !is || failed.Step != c.step || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("error is %v; want it in the step %q, of %v", err, c.step, c.want)
			}
		})
	}
}

// sends is a server that answers whatever it is sent with a text, and closes.
func sends(t *testing.T, text string) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4<<10))
			_, _ = conn.Write([]byte(text))
			_ = conn.Close()
		}
	}()
	return l.Addr().String()
}

// closedPort is an address where nobody listens, nor will: a connection has its port.
func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	conn, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn.LocalAddr().String()
}

func TestUnknownVersionsAreRefused(t *testing.T) {
	for _, o := range []web.Options{{Version: "HTTP/4"}, {Version: web.HTTP3, Fresh: true}} {
		if _, err := web.New(o); err == nil {
			t.Errorf("a client of %+v was made", o)
		}
	}
}
