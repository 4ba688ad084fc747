package webserver_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/loopcheck/loopcheck/probe/webserver"
)

const patience = 10 * time.Second

func start(t *testing.T, ctx context.Context, c webserver.Config) *webserver.Server {
	t.Helper()
	s, err := webserver.Start(ctx, c)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestItEndsWithItsContext(t *testing.T) {
	authority, err := webserver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	secure, err := authority.Serve(webserver.Localhost)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]webserver.Config{
		"HTTP/1.1": {}, "silent": {Silent: true}, "TLS": {TLS: secure, HTTP2: true}, "HTTP/3": {TLS: secure, HTTP3: true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			before := gleak.Goroutines()
			ctx, cancel := context.WithCancel(t.Context())
			server := start(t, ctx, c)
			if !c.HTTP3 {
				conn, err := net.Dial("tcp", server.Addr().String())
				g.Expect(err).NotTo(HaveOccurred())
				defer conn.Close()
			}
			cancel()
			g.Eventually(gleak.Goroutines).WithTimeout(patience).ShouldNot(gleak.HaveLeaked(before))
			g.Expect(server.Close()).To(Succeed(), "closing what has ended")
		})
	}
}

func TestItListensOnLoopbackAlone(t *testing.T) {
	for _, at := range []string{"0.0.0.0:0", "[::]:0", "192.0.2.1:0"} {
		_, err := webserver.Start(t.Context(), webserver.Config{At: netip.MustParseAddrPort(at)})
		var refused *webserver.NotLoopbackError
		if !errors.As(err, &refused) {
			t.Errorf("%s: error is %v, want a NotLoopbackError", at, err)
		}
	}
}

func TestAPortIsHadOnce(t *testing.T) {
	first := start(t, t.Context(), webserver.Config{})
	defer first.Close()
	_, err := webserver.Start(t.Context(), webserver.Config{At: first.Addr()})
	if !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("error is %v, want EADDRINUSE", err)
	}
}

func TestHTTP3TakesTLS(t *testing.T) {
	if _, err := webserver.Start(t.Context(), webserver.Config{HTTP3: true}); err == nil {
		t.Error("a server of HTTP/3 without TLS was started")
	}
}

// Requests that no check of the suite makes.
func TestTheAPIRefusesMistakes(t *testing.T) {
	server := start(t, t.Context(), webserver.Config{})
	defer server.Close()
	for name, c := range map[string]struct {
		method, path, mediaType, body string
		field, value                  string
		status                        int
	}{
		"too many bytes":         {method: "GET", path: "/bytes?n=1000000000000", status: 400},
		"no number":              {method: "GET", path: "/bytes?n=all", status: 400},
		"less than nothing":      {method: "GET", path: "/bytes?n=-1", status: 400},
		"DELETE of nothing":      {method: "DELETE", path: "/notes/9", status: 404},
		"PATCH of nothing":       {method: "PATCH", path: "/notes/9", mediaType: webserver.MergePatch, body: "{}", status: 404},
		"PUT that is no JSON":    {method: "PUT", path: "/notes/9", mediaType: "application/json", body: "{", status: 400},
		"PUT of what is to be":   {method: "PUT", path: "/notes/9", mediaType: "application/json", body: "{}", field: "If-Match", value: "*", status: 412},
		"PUT in another charset": {method: "PUT", path: "/notes/8", mediaType: "application/json; charset=utf-8", body: "{}", status: 201},
		"no WebSocket":           {method: "GET", path: "/socket", status: 426},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			request, err := http.NewRequestWithContext(t.Context(), c.method, server.URL(c.path), strings.NewReader(c.body))
			g.Expect(err).NotTo(HaveOccurred())
			request.Header.Set("Content-Type", c.mediaType)
			if c.field != "" {
				request.Header.Set(c.field, c.value)
			}
			response, err := http.DefaultClient.Do(request)
			g.Expect(err).NotTo(HaveOccurred())
			defer response.Body.Close()
			_, err = io.Copy(io.Discard, response.Body)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(response.StatusCode).To(Equal(c.status))
		})
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestThePatternDoesNotRepeat(t *testing.T) {
	long := webserver.Pattern(1000)
	g := NewWithT(t)
	g.Expect(webserver.Pattern(10)).To(Equal(long[:10]), "a shorter one begins the same")
	g.Expect(long[:100]).NotTo(Equal(long[100:200]))
}
