package serve

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"strings"

	"github.com/loopcheck/loopcheck/probe/cors"
)

// NewToken is one that nobody guesses: at least 128 random bits.
func NewToken() string { return rand.Text() }

// tokenKey is the parameter of a URL that a token comes in.
const tokenKey = "token"

// guard lets in who has the token: as "Authorization: Bearer" (RFC 6750 2.1), or in
// the URL, from which it goes into a cookie.
type guard struct {
	sum    [sha256.Size]byte
	cookie string
	secure bool
	next   http.Handler
}

// newGuard names the cookie by the port, since browsers share cookies among the ports
// of a host (RFC 6265 8.5).
func newGuard(token string, port uint16, secure bool, next http.Handler) *guard {
	return &guard{sha256.Sum256([]byte(token)), fmt.Sprintf("loopcheck-%d", port), secure, next}
}

func (g *guard) fits(token string) bool {
	sum := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(sum[:], g.sum[:]) == 1
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Bearer") && g.fits(strings.TrimSpace(token)) {
		g.next.ServeHTTP(w, r)
		return
	}
	token := r.URL.Query().Get(tokenKey)
	cookie, err := r.Cookie(g.cookie)
	switch {
	case g.fits(token):
	case err == nil && g.fits(cookie.Value):
		// Another token in the URL is the application's own.
		g.next.ServeHTTP(w, r)
		return
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="loopcheck serve"`)
		hangUp(w)
		http.Error(w, "this server asks for its token: open the address that it printed, or send Authorization: Bearer TOKEN", http.StatusUnauthorized)
		return
	}
	http.SetCookie(w, &http.Cookie{Name: g.cookie, Value: token, Path: "/", HttpOnly: true, Secure: g.secure, SameSite: http.SameSiteLaxMode})
	u := *r.URL
	u.RawQuery = strings.TrimLeft(withoutToken(u.RawQuery, ""), "&;")
	// A browser that goes to a page must not keep the token in its address bar, nor
	// send it on in Referer.
	if r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html") {
		to := url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
		w.Header().Set("Location", "/"+strings.TrimLeft(to.String(), "/"))
		w.Header().Set("Referrer-Policy", "no-referrer")
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	bare := *r
	bare.URL = &u
	g.next.ServeHTTP(w, &bare)
}

// hangUp ends the connection after the answer: who is not let in keeps no place of
// Limits.Connections.
func hangUp(w http.ResponseWriter) { w.Header().Set("Connection", "close") }

// pairs are the parts of a query, each with what parts it from the one before. A
// semicolon does too for some, though not for net/url.
var pairs = regexp.MustCompile(`(?:[&;]|^)[^&;]*`)

// withoutToken takes the token out of a query, or puts something in its place.
func withoutToken(query, instead string) string {
	return pairs.ReplaceAllStringFunc(query, func(pair string) string {
		key, _, _ := strings.Cut(pair, "=")
		name, err := url.QueryUnescape(strings.TrimLeft(key, "&;"))
		switch {
		case err != nil || name != tokenKey:
			return pair
		case instead == "":
			return ""
		}
		return key + "=" + instead
	})
}

// addressed refuses requests for other hosts: what a page sends whose name was made to
// point here (DNS rebinding) names that page's host. The address that a request came
// to is no name, and nobody can make it point elsewhere.
func (s *Server) addressed(next http.Handler) http.Handler {
	hosts := cors.Hosts(s.options.Hosts)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if hosts.Allows(r.Host) || isLocalAddress(r) {
			next.ServeHTTP(w, r)
			return
		}
		hangUp(w)
		http.Error(w, fmt.Sprintf("this server is not %q: ask for localhost, or start it with --host NAME", r.Host), http.StatusMisdirectedRequest)
	})
}

func isLocalAddress(r *http.Request) bool {
	local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr)
	if !ok {
		return false
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	addr, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && addr.Unmap() == local.AddrPort().Addr().Unmap().WithZone("")
}
