package webcheck

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/webserver"
)

func TestServersWithTLS(t *testing.T) {
	authority, err := webserver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	secure := func(identity webserver.Identity) string {
		config, err := authority.Serve(identity)
		if err != nil {
			t.Fatal(err)
		}
		server, err := webserver.Start(t.Context(), webserver.Config{At: netip.MustParseAddrPort("127.0.0.1:0"), TLS: config, HTTP2: true})
		if err != nil {
			t.Fatal(err)
		}
		return "https://" + server.Addr().String() + "/"
	}
	ids := []string{"WEB-004", "WEB-007", "WEB-017", "WEB-018", "WEB-019"}
	trust := authority.Trust().RootCAs
	t.Run("good", func(t *testing.T) {
		found := ask(t, Options{Target: target(t, secure(webserver.Localhost)), Roots: trust}, ids...)
		for _, id := range ids[:4] {
			expect(t, found, id, check.Pass, "")
		}
		expect(t, found, "WEB-019", check.Warn, "ends in 0 days") // it is made for a run
		if v := found["WEB-004"].Evidence; len(v) == 0 || v[0].Seen != "HTTP/1.1, HTTP/2.0" {
			t.Errorf("versions %v", v)
		}
	})
	t.Run("unknown authority", func(t *testing.T) {
		found := ask(t, Options{Target: target(t, secure(webserver.Localhost))}, ids...)
		expect(t, found, "WEB-018", check.Fail, "certificate signed by unknown authority")
	})
	t.Run("wrong name", func(t *testing.T) {
		found := ask(t, Options{Target: target(t, secure(webserver.Identity{Names: []string{"other.example"}})), Roots: trust}, ids...)
		expect(t, found, "WEB-018", check.Fail, "127.0.0.1")
	})
	t.Run("expired", func(t *testing.T) {
		identity := webserver.Localhost
		identity.Expired = true
		found := ask(t, Options{Target: target(t, secure(identity)), Roots: trust}, ids...)
		expect(t, found, "WEB-018", check.Fail, "expired")
		expect(t, found, "WEB-019", check.Warn, "ended on")
	})
	t.Run("not judged", func(t *testing.T) {
		found := ask(t, Options{Target: target(t, secure(webserver.Localhost)), Insecure: true}, ids...)
		expect(t, found, "WEB-018", check.Skip, "--insecure was given")
	})
	t.Run("old versions", func(t *testing.T) {
		server := httptest.NewUnstartedServer(good())
		server.TLS = &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12}
		server.StartTLS()
		t.Cleanup(server.Close)
		found := ask(t, Options{Target: target(t, server.URL)}, ids...)
		expect(t, found, "WEB-017", check.Warn, "it speaks TLS 1.0\n  it speaks TLS 1.1\n  it does not speak TLS 1.3")
	})
	for name, c := range map[string]struct {
		protocols []string
		state     check.State
		want      string
	}{
		"HTTP/2 that is not there": {[]string{"h2", "http/1.1"}, check.Fail, "it agrees on HTTP/2 by ALPN, and does not speak it"},
		"HTTP/1.1 alone":           {[]string{"http/1.1"}, check.Pass, ""},
		"nothing that is offered":  {[]string{"http/1.0"}, check.Fail, "a handshake that offers HTTP/2 and HTTP/1.1 by ALPN"},
	} {
		t.Run(name, func(t *testing.T) {
			server := httptest.NewUnstartedServer(good())
			server.TLS = &tls.Config{NextProtos: c.protocols}
			server.Config.TLSNextProto = map[string]func(*http.Server, *tls.Conn, http.Handler){} // HTTP/1.1, whatever was agreed on
			server.StartTLS()
			t.Cleanup(server.Close)
			expect(t, ask(t, Options{Target: target(t, server.URL)}, "WEB-004"), "WEB-004", c.state, c.want)
		})
	}
	t.Run("HTTP/3 that is not there", func(t *testing.T) {
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Alt-Svc", `h3=":1"`) }))
		t.Cleanup(server.Close)
		found := ask(t, Options{Target: target(t, server.URL), Timeout: triedVersion}, ids...)
		expect(t, found, "WEB-004", check.Fail, "it offers HTTP/3 on port 1")
	})
	t.Run("HTTP/3", func(t *testing.T) {
		config, err := authority.Serve(webserver.Localhost)
		if err != nil {
			t.Fatal(err)
		}
		overQUIC, err := webserver.Start(t.Context(), webserver.Config{At: netip.MustParseAddrPort("127.0.0.1:0"), TLS: config, HTTP3: true})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Alt-Svc", fmt.Sprintf(`h2=":443", h3=":%d"; ma=60`, overQUIC.Addr().Port()))
		}))
		t.Cleanup(server.Close)
		found := ask(t, Options{Target: target(t, server.URL)}, ids...)
		expect(t, found, "WEB-004", check.Pass, "")
		if v := found["WEB-004"].Evidence; len(v) == 0 || v[0].Seen != "HTTP/1.1, HTTP/3.0" {
			t.Errorf("versions %v", v)
		}
	})
}

// A server that speaks HTTP/2 alone is asked over that.
func TestServersOfHTTP2Alone(t *testing.T) {
	var alone http.Protocols
	alone.SetHTTP2(true)
	alone.SetUnencryptedHTTP2(true)
	start := func(begin func(*httptest.Server)) Options {
		server := httptest.NewUnstartedServer(good())
		server.EnableHTTP2 = true
		server.Config.Protocols = &alone
		begin(server)
		t.Cleanup(server.Close)
		return Options{Target: target(t, server.URL), Insecure: true}
	}
	for name, o := range map[string]Options{
		"in cleartext": start((*httptest.Server).Start),
		"over TLS":     start((*httptest.Server).StartTLS),
	} {
		t.Run(name, func(t *testing.T) {
			found := ask(t, o, "WEB-001", "WEB-004", "WEB-005", "WEB-006", "WEB-007", "WEB-009", "WEB-010", "WEB-011", "WEB-012", "WEB-016", "WEB-020")
			for id := range found {
				switch id {
				case "WEB-007", "WEB-020":
					expect(t, found, id, check.Skip, "the server speaks HTTP/2 alone, and these checks ask over HTTP/1.1")
				default:
					expect(t, found, id, check.Pass, "")
				}
			}
			if v := found["WEB-004"].Evidence; len(v) == 0 || v[0].Seen != "HTTP/2.0" {
				t.Errorf("versions %v", v)
			}
		})
	}
}
