package serve

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/loopcheck/loopcheck/probe/cors"
)

func TestTheHostIsChecked(t *testing.T) {
	r := start(t, Options{Dir: folderWith(t, map[string]string{"a.txt": "x"}), Hosts: []string{"dev.example"}})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:1": 200, "app.localhost": 200, "127.0.0.1": 200, "[::1]": 200, "dev.example:8080": 200,
		"evil.example": 421, "localhost.evil.example": 421, "192.0.2.1": 421,
	} {
		got := get(t, r.url+"a.txt", "Host", host)
		if got.StatusCode != want {
			t.Errorf("%s: %d, want %d", host, got.StatusCode, want)
		}
		if got.Close != (want == 421) {
			t.Errorf("%s: %d, and the connection ends: %v", host, got.StatusCode, got.Close)
		}
		if body := bodyOf(t, got); want == 421 && !strings.Contains(body, "--host NAME") {
			t.Errorf("%s: %q", host, body)
		}
	}
}

const token = "0123456789abcdef-token"

func TestTheTokenIsAskedFor(t *testing.T) {
	dir := folderWith(t, map[string]string{"a.txt": "x", "routes.yaml": `routes: [{route: /echo, text: "q=${query.q} t=${query.token}"}]`})
	r := start(t, Options{Dir: dir, Routes: filepath.Join(dir, "routes.yaml"), Token: token})
	stay := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer stay.CloseIdleConnections()
	cookie := fmt.Sprintf("loopcheck-%d=%s", r.port(), token)
	for name, c := range map[string]struct {
		path     string
		header   []string
		status   int
		location string
	}{
		"none":                 {"a.txt", nil, 401, ""},
		"wrong":                {"a.txt?token=wrong", nil, 401, ""},
		"empty":                {"a.txt?token=", nil, 401, ""},
		"in the header":        {"a.txt", []string{"Authorization", "Bearer " + token}, 200, ""},
		"wrong in the header":  {"a.txt", []string{"Authorization", "Bearer " + token + "x"}, 401, ""},
		"as basic":             {"a.txt", []string{"Authorization", "Basic " + token}, 401, ""},
		"in the URL":           {"a.txt?token=" + token, nil, 200, ""},
		"in a browser's URL":   {"a.txt?x=1&token=" + token + "&y=2", []string{"Accept", "text/html,*/*"}, 303, "/a.txt?x=1&y=2"},
		"with another host":    {"/evil.example/?token=" + token, []string{"Accept", "text/html"}, 303, "/evil.example/"},
		"as a cookie":          {"a.txt", []string{"Cookie", cookie}, 200, ""},
		"of another port":      {"a.txt", []string{"Cookie", "loopcheck-1=" + token}, 401, ""},
		"beside another":       {"a.txt?token=its-own", []string{"Cookie", cookie}, 200, ""},
		"twice":                {"a.txt?token=" + token, []string{"Cookie", cookie, "Accept", "text/html"}, 303, "/a.txt"},
		"wrong beside a wrong": {"a.txt?token=wrong", []string{"Cookie", cookie + "x"}, 401, ""},
		"after a semicolon":    {"a.txt?a;t%6Fken=" + token, nil, 401, ""},
		"beside a semicolon":   {"a.txt?a;b&token=" + token, []string{"Accept", "text/html"}, 303, "/a.txt?a;b"},
		"after nothing":        {"a.txt?&token=" + token + "&b", []string{"Accept", "text/html"}, 303, "/a.txt?b"},
	} {
		t.Run(name, func(t *testing.T) {
			got := do(t, stay, http.MethodGet, r.url+c.path, c.header...)
			if got.StatusCode != c.status || got.Header.Get("Location") != c.location {
				t.Errorf("%d to %q", got.StatusCode, got.Header.Get("Location"))
			}
			if got.Close != (c.status == 401) {
				t.Errorf("%d, and the connection ends: %v", got.StatusCode, got.Close)
			}
			if c.status == 401 && got.Header.Get("WWW-Authenticate") == "" {
				t.Error("it does not say how to authenticate (RFC 9110 15.5.2)")
			}
			if set := got.Header.Get("Set-Cookie"); strings.Contains(c.path, "token="+token) && set != cookie+"; Path=/; HttpOnly; SameSite=Lax" {
				t.Errorf("the cookie is %q", set)
			}
		})
	}
	if got := bodyOf(t, get(t, r.url+"echo?q=1&token="+token)); got != "q=1 t=" {
		t.Errorf("the token is seen within: %q", got)
	}
	if got := bodyOf(t, get(t, r.url+"echo?q=1&token=its-own", "Cookie", cookie)); got != "q=1 t=its-own" {
		t.Errorf("the application's own token is not seen: %q", got)
	}
	entries, _ := r.seen()
	for _, e := range entries {
		if strings.Contains(e.URI, token) {
			t.Errorf("the token is in the log: %s", e)
		}
	}
}

func TestNobodyElseIsServedWithoutAToken(t *testing.T) {
	s, err := New(Options{Dir: t.TempDir(), Addresses: []netip.Addr{netip.IPv4Unspecified()}, Limits: DefaultLimits})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(t.Context()); err == nil || !strings.Contains(err.Error(), "no token") {
		t.Errorf("got %v", err)
	}
}

// A preflight carries no token, and an answer without one can be read.
func TestOtherOriginsAreTold(t *testing.T) {
	const origin = "http://localhost:5173"
	r := start(t, Options{Dir: folderWith(t, map[string]string{"a.txt": "x"}), Token: token, CORS: cors.Policy{Origins: []string{origin}, Headers: []string{cors.Any}}})
	preflight := do(t, http.DefaultClient, http.MethodOptions, r.url+"a.txt", "Origin", origin, "Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "authorization")
	if preflight.StatusCode != 204 || preflight.Header.Get("Access-Control-Allow-Headers") != "authorization" {
		t.Errorf("preflight: %d, %v", preflight.StatusCode, preflight.Header)
	}
	for _, c := range []struct {
		origin string
		status int
		allow  string
	}{{origin, 401, origin}, {"http://evil.example", 401, ""}} {
		got := get(t, r.url+"a.txt", "Origin", c.origin)
		if allow := got.Header.Get("Access-Control-Allow-Origin"); got.StatusCode != c.status || allow != c.allow {
			t.Errorf("%s: %d, %q", c.origin, got.StatusCode, allow)
		}
	}
	rebound := get(t, r.url+"a.txt", "Origin", origin, "Host", "evil.example")
	if rebound.StatusCode != 421 || rebound.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another host: %d, %v", rebound.StatusCode, rebound.Header)
	}
}

// What a route's headers say is beside what the server's own say, and not in its place.
func TestRoutesAddToTheServersHeaders(t *testing.T) {
	const origin = "http://localhost:5173"
	dir := folderWith(t, map[string]string{"routes.yaml": "routes: [{route: /, headers: {Vary: [Accept, Cookie], Set-Cookie: a=1, Access-Control-Allow-Origin: \"null\"}}]"})
	r := start(t, Options{Routes: filepath.Join(dir, "routes.yaml"), Token: token, CORS: cors.Policy{Origins: []string{origin}, Credentials: true}})
	got := get(t, r.url+"?token="+token, "Origin", origin).Header
	for name, want := range map[string][]string{
		"Vary":                        {"Origin", "Accept", "Cookie"},
		"Set-Cookie":                  {fmt.Sprintf("loopcheck-%d=%s; Path=/; HttpOnly; SameSite=Lax", r.port(), token), "a=1"},
		"Access-Control-Allow-Origin": {"null"},
	} {
		if values := got.Values(name); !slices.Equal(values, want) {
			t.Errorf("%s: %q, want %q", name, values, want)
		}
	}
}

func TestTLS(t *testing.T) {
	r := start(t, Options{Dir: folderWith(t, map[string]string{"a.txt": "x"}), TLS: true, Hosts: []string{"dev.example"}})
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(r.Certificate()) {
		t.Fatal("there is no certificate")
	}
	at := strings.TrimSuffix(strings.TrimPrefix(r.url, "https://"), "/")
	_, port, _ := net.SplitHostPort(at)
	for _, c := range []struct {
		host, proto string
	}{{"127.0.0.1", "HTTP/2.0"}, {"localhost", "HTTP/2.0"}, {"app.localhost", "HTTP/1.1"}, {"dev.example", "HTTP/2.0"}} {
		client := &http.Client{Transport: &http.Transport{
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: c.proto == "HTTP/2.0",
			DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, "tcp", at)
			},
		}}
		got := do(t, client, http.MethodGet, "https://"+net.JoinHostPort(c.host, port)+"/a.txt")
		if body := bodyOf(t, got); got.StatusCode != 200 || body != "x" || got.Proto != c.proto {
			t.Errorf("%s: %s %d, %q", c.host, got.Proto, got.StatusCode, body)
		}
		client.CloseIdleConnections()
	}
	if got := r.Certificate(); bytes.Contains(got, []byte("KEY")) {
		t.Error("the key is told")
	}
}

// The authority's certificate is good for nobody else.
func TestTheAuthorityIsConstrained(t *testing.T) {
	a, err := newAuthority([]string{"dev.example", "192.0.2.7", "fd00::7"}, []netip.Addr{loopback})
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.certificate)
	for name, want := range map[string]bool{"localhost": true, "app.localhost": true, "dev.example": true, "example.com": false, "localhost.example.com": false} {
		made, err := a.issue([]string{name}, nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(made.Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name}); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
	for host, want := range map[string]bool{"192.0.2.7": true, "[fd00::7]": true, "127.0.0.1": true, "dev.example": true, "192.0.2.8": false} {
		_, err := a.general.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host})
		if (err == nil) != want {
			t.Errorf("the general certificate and %s: %v", host, err)
		}
	}
	if names := a.general.Leaf.DNSNames; !slices.Equal(names, []string{"localhost", "dev.example"}) {
		t.Errorf("its names are %q", names)
	}
	for name, own := range map[string]bool{"a.localhost": true, "example.com": false, "": false, "localhost": false, "LocalHost": false, "dev.example": false} {
		got, err := a.choose(&tls.ClientHelloInfo{ServerName: name})
		if err != nil || (got != a.general) != own {
			t.Errorf("%q has a certificate of its own: %v, %v", name, got != a.general, err)
		}
	}
}

// However many names are asked for, one that is asked for again is kept.
func TestCertificatesAreKept(t *testing.T) {
	a, err := newAuthority(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	choose := func(name string) *tls.Certificate {
		t.Helper()
		made, err := a.choose(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		return made
	}
	for i := range maxCertificates + 10 {
		choose(fmt.Sprintf("n%d.localhost", i))
	}
	if first := choose("app.localhost"); first != choose("app.localhost") {
		t.Error("a certificate is made each time")
	}
	if len(a.byName) != maxCertificates {
		t.Errorf("%d are kept", len(a.byName))
	}
	var together sync.WaitGroup
	made := make([]*tls.Certificate, 4)
	for i := range made {
		together.Go(func() { made[i], _ = a.choose(&tls.ClientHelloInfo{ServerName: "at-once.localhost"}) })
	}
	together.Wait()
	for _, one := range made {
		if one == nil || one != made[0] {
			t.Errorf("those who ask at once get %p and %p", one, made[0])
		}
	}
}

// Of HTTP/2, which has no such header, the connection ends too (RFC 9113 6.8).
func TestWhoIsNotLetInKeepsNoPlace(t *testing.T) {
	limits := DefaultLimits
	limits.Connections = 1
	for _, secure := range []bool{false, true} {
		r := start(t, Options{Dir: t.TempDir(), TLS: secure, Token: token, Limits: limits})
		var idle []*http.Client
		for range 3 {
			client := &http.Client{
				Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true},
				Timeout:   patience,
			}
			idle = append(idle, client)
			if got := do(t, client, http.MethodGet, r.url); got.StatusCode != 401 || (got.ProtoMajor == 2) != secure {
				t.Errorf("TLS %v: %s %d", secure, got.Proto, got.StatusCode)
			}
		}
		for _, client := range idle {
			client.CloseIdleConnections()
		}
	}
}
