package http

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/coder/websocket"

	"github.com/loopcheck/loopcheck/probe/cors"
	"github.com/loopcheck/loopcheck/probe/webserver"
)

// The sites are servers in a network namespace of their own, so that their ports can
// be those that developers know: a page's, that of the API behind it, and one with
// TLS. Each is on 127.0.0.1 and, where there is IPv6, on ::1.
const (
	pagePort = "3000"
	apiPort  = "8080"
	tlsPort  = "8443"
	// publicPort is that of a site that the browser is told to take for one of the
	// Internet.
	publicPort = "3001"

	// pageOrigin is that of the pages that ask.
	pageOrigin = "http://localhost:" + pagePort
	apiSite    = "http://localhost:" + apiPort
	// foreignName resolves to 127.0.0.1 and is no name of loopback, as that of an
	// attacker which was made to point here.
	foreignName = "rebind.test"

	// opened is in the query of what the browser itself opens: pages, not requests of
	// theirs.
	opened = "opened"
)

// policies are those of the sites, by the last element of a path.
var policies = map[string]cors.Policy{
	"nobody": {},
	"any":    {Origins: []string{cors.Any}},
	"page":   {Origins: []string{pageOrigin}},
	"other":  {Origins: []string{"http://127.0.0.1:" + pagePort}},
	"trusted": {
		Origins: []string{pageOrigin}, Methods: []string{http.MethodPut}, Headers: []string{"X-Token", "Content-Type"},
		MaxAge: 10 * time.Minute, Credentials: true,
	},
}

// hit is a request as a site got it.
type hit struct {
	Method string `json:"method"`
	// URL is its scheme, Host header and path, without the check's own part.
	URL    string `json:"url"`
	Origin string `json:"origin,omitempty"`
	Cookie string `json:"cookie,omitempty"`
	// Site is Sec-Fetch-Site: how the page stands to the server, by the browser.
	Site string `json:"site,omitempty"`
}

// sites serve and note what they are asked.
type sites struct {
	ipv6    bool
	site    string // the one whose page the browser has open
	servers []*http.Server

	mu   sync.Mutex
	hits map[string][]hit // by the ID of the check
}

// startSites listens on the ports of the calling process's namespace.
func startSites(ctx context.Context) (*sites, error) {
	authority, err := webserver.NewAuthority()
	if err != nil {
		return nil, err
	}
	secure, err := authority.Serve(webserver.Localhost)
	if err != nil {
		return nil, err
	}
	s := newSites()
	for _, port := range []string{pagePort, publicPort, apiPort, tlsPort} {
		var config *tls.Config
		if port == tlsPort {
			config = secure
		}
		if _, err := s.listen(ctx, "127.0.0.1:"+port, config); err != nil {
			s.close()
			return nil, err
		}
		// A machine without IPv6 has one loopback less.
		_, err := s.listen(ctx, "[::1]:"+port, config)
		s.ipv6 = err == nil
	}
	return s, nil
}

func newSites() *sites { return &sites{hits: map[string][]hit{}} }

// listen serves on an address until the sites are closed, and returns it.
func (s *sites) listen(ctx context.Context, address string, secure *tls.Config) (string, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err != nil {
		return "", fmt.Errorf("listen for pages: %w", err)
	}
	bound := listener.Addr().String()
	if secure != nil {
		listener = tls.NewListener(listener, secure)
	}
	server := &http.Server{Handler: s.handler(), ReadHeaderTimeout: corsDeadline}
	s.servers = append(s.servers, server)
	go func() { _ = server.Serve(listener) }() // ends when the sites are closed
	return bound, nil
}

func (s *sites) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
}

// handler serves /ID/POLICY, which pages may read by that policy, and what notes it.
func (s *sites) handler() http.Handler {
	mux := http.NewServeMux()
	body := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, "<!doctype html><title>page</title>")
	})
	for name, policy := range policies {
		mux.Handle("/{id}/"+name, policy.Handler(body))
	}
	mux.Handle("/{id}/guarded", cors.Hosts(nil).Handler(body))
	// What no policy may be, though servers are found that answer so.
	mux.HandleFunc("/{id}/any-with-credentials", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Access-Control-Allow-Origin", cors.Any)
		w.Header().Set("Access-Control-Allow-Credentials", "true")
		body(w, r)
	})
	mux.HandleFunc("/{id}/cookies", func(w http.ResponseWriter, r *http.Request) {
		for _, cookie := range r.URL.Query()["set"] {
			w.Header().Add("Set-Cookie", cookie)
		}
		body(w, r)
	})
	mux.HandleFunc("/{id}/redirect", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusTemporaryRedirect)
	})
	mux.HandleFunc("/{id}/socket", func(w http.ResponseWriter, r *http.Request) {
		// Accept refuses an Origin that is not the Host, unless it is told otherwise.
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: r.URL.Query().Has("open")})
		if err == nil {
			_ = conn.Close(websocket.StatusNormalClosure, "")
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		scheme := "http"
		if r.TLS != nil {
			scheme = "https"
		}
		if !r.URL.Query().Has(opened) && path != "favicon.ico" {
			s.mu.Lock()
			s.hits[id] = append(s.hits[id], hit{
				Method: r.Method, URL: scheme + "://" + r.Host + "/" + path, Origin: r.Header.Get("Origin"),
				Cookie: strings.Join(r.Header.Values("Cookie"), "; "), Site: r.Header.Get("Sec-Fetch-Site"),
			})
			s.mu.Unlock()
		}
		mux.ServeHTTP(w, r)
	})
}

// of returns what was asked for a check.
func (s *sites) of(id string) []hit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]hit(nil), s.hits[id]...)
}
