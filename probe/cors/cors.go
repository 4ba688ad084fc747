// Package cors answers, as a server does, which pages of other origins may read what
// it serves: cross-origin resource sharing (Fetch Standard, HTTP-CORS protocol,
// https://fetch.spec.whatwg.org/#http-cors-protocol).
//
// A policy only tells; browsers enforce it. A request from an origin that is not
// allowed is served like any other, but for its headers, and what it does is done:
// a server that must not do it has to look at the Origin itself.
package cors

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Any stands for every origin, and for every header of a request.
const Any = "*"

// Policy says who may read what. The zero value allows nobody.
type Policy struct {
	// Origins are those that are allowed, as browsers write them
	// ("http://localhost:5173"), or Any alone.
	Origins []string
	// Methods are those that are allowed beside GET, HEAD and POST, which need no
	// leave. Case matters, as in HTTP.
	Methods []string
	// Headers are those that a request may carry beside the ones that need no leave,
	// or Any.
	Headers []string
	// Expose are the headers of an answer that a page may read beside the ones that
	// it always may.
	Expose []string
	// MaxAge is how long a browser may keep the answer to a preflight, in whole
	// seconds; zero leaves it to the browser (5 s in the standard).
	MaxAge time.Duration
	// Credentials lets pages send cookies and read what comes of it. It cannot be
	// had for Any origin.
	Credentials bool
}

// safeMethods need no leave (Fetch Standard, CORS-safelisted method).
var safeMethods = []string{http.MethodGet, http.MethodHead, http.MethodPost}

// OriginError says that a text is no origin.
type OriginError struct {
	Text, Why string
}

func (e *OriginError) Error() string {
	return fmt.Sprintf("%q is no origin (%s): write it as http://localhost:5173 or https://app.localhost", e.Text, e.Why)
}

// ParseOrigin brings an origin into the form that browsers send (RFC 6454, section
// 6.2): the host in lower case, no port where it is the scheme's own, no path. The
// error is an *OriginError.
func ParseOrigin(text string) (string, error) {
	wrong := func(why string) (string, error) { return "", &OriginError{Text: text, Why: why} }
	u, err := url.Parse(text)
	switch {
	case text == "null":
		return wrong("it is what every sandboxed page sends")
	case err != nil || u.Host == "" || u.Opaque != "":
		return wrong("it has no scheme and host")
	case u.Scheme != "http" && u.Scheme != "https":
		return wrong("its scheme is neither http nor https")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "":
		return wrong("more follows the host and port")
	case strings.Contains(u.Hostname(), Any):
		return wrong("a pattern is not supported")
	}
	host := strings.ToLower(u.Hostname())
	if addr, err := netip.ParseAddr(host); err == nil && addr.Zone() == "" { // URLs have no zones
		host = addr.String()
		if addr.Is6() {
			host = "[" + host + "]"
		}
	} else if host == "" || strings.ContainsFunc(host, notInNames) {
		return wrong("its host is no name and no address")
	}
	port := u.Port()
	if port == "" && strings.HasSuffix(u.Host, ":") {
		return wrong("its port is empty")
	}
	if port != "" {
		number, err := strconv.ParseUint(port, 10, 16)
		if err != nil || number == 0 {
			return wrong("its port is not from 1 to 65535")
		}
		port = strconv.FormatUint(number, 10)
	}
	if port == "" || u.Scheme == "http" && port == "80" || u.Scheme == "https" && port == "443" {
		return u.Scheme + "://" + host, nil
	}
	return u.Scheme + "://" + host + ":" + port, nil
}

// notInNames says whether a host's name may not hold a character. What is beyond ASCII
// browsers write as xn--… (RFC 5890).
func notInNames(c rune) bool {
	return (c < 'a' || c > 'z') && (c < '0' || c > '9') && !strings.ContainsRune("-._", c)
}

// Validate says what of a policy browsers would refuse or never match.
func (p Policy) Validate() error {
	for _, origin := range p.Origins {
		if origin == Any {
			continue
		}
		if written, err := ParseOrigin(origin); err != nil {
			return err
		} else if written != origin {
			return &OriginError{Text: origin, Why: "browsers write " + written}
		}
	}
	anyOrigin := p.anyOrigin()
	switch {
	case anyOrigin && len(p.Origins) > 1:
		return fmt.Errorf("origins: %q allows every origin: leave the others out, or it", Any)
	case anyOrigin && p.Credentials:
		return fmt.Errorf("credentials for the origin %q are refused by every browser: name the origins", Any)
	case p.MaxAge < 0 || p.MaxAge%time.Second != 0:
		return fmt.Errorf("max-age %v: write whole seconds, 0 or more", p.MaxAge)
	}
	return nil
}

func (p Policy) anyOrigin() bool { return slices.Contains(p.Origins, Any) }

// Allows says whether pages of the origin may read answers.
func (p Policy) Allows(origin string) bool {
	return p.anyOrigin() || slices.Contains(p.Origins, origin)
}

// Handler answers preflights by the policy, which has to be valid, and leaves
// everything else to next, with the headers that let the page read its answer.
func (p Policy) Handler(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header, origin := w.Header(), r.Header.Get("Origin")
		if !p.anyOrigin() {
			// A cache must not give one origin's answer to another, nor the answer
			// to a request without an origin (Fetch Standard, CORS protocol and
			// HTTP caches).
			header.Add("Vary", "Origin")
		}
		if method := r.Header.Get("Access-Control-Request-Method"); r.Method == http.MethodOptions && origin != "" && method != "" {
			header.Add("Vary", "Access-Control-Request-Method")
			header.Add("Vary", "Access-Control-Request-Headers")
			p.preflight(w, origin, method, requested(r.Header))
			return
		}
		if origin != "" && p.Allows(origin) {
			p.allow(header, origin)
			if len(p.Expose) > 0 {
				header.Set("Access-Control-Expose-Headers", strings.Join(p.Expose, ", "))
			}
		}
		next.ServeHTTP(w, r)
	})
}

func (p Policy) allow(header http.Header, origin string) {
	if p.anyOrigin() {
		origin = Any
	}
	header.Set("Access-Control-Allow-Origin", origin)
	if p.Credentials {
		header.Set("Access-Control-Allow-Credentials", "true")
	}
}

// preflight answers whether a request may be sent. One that may not is told why, for
// a person who looks: to the browser the lack of headers says enough.
func (p Policy) preflight(w http.ResponseWriter, origin, method string, headers []string) {
	if why := p.refuses(origin, method, headers); why != "" {
		http.Error(w, why, http.StatusForbidden)
		return
	}
	header := w.Header()
	p.allow(header, origin)
	header.Set("Access-Control-Allow-Methods", strings.Join(p.methods(), ", "))
	if len(headers) > 0 {
		header.Set("Access-Control-Allow-Headers", strings.Join(headers, ", "))
	}
	if p.MaxAge > 0 {
		header.Set("Access-Control-Max-Age", strconv.FormatInt(int64(p.MaxAge/time.Second), 10))
	}
	w.WriteHeader(http.StatusNoContent)
}

func (p Policy) methods() []string {
	all := slices.Concat(safeMethods, p.Methods)
	slices.Sort(all)
	return slices.Compact(all)
}

func (p Policy) refuses(origin, method string, headers []string) (why string) {
	if !p.Allows(origin) {
		return fmt.Sprintf("the origin %q is not allowed", origin)
	}
	if !slices.Contains(p.methods(), method) {
		return fmt.Sprintf("the method %q is not allowed", method)
	}
	if slices.Contains(p.Headers, Any) {
		return ""
	}
	for _, h := range headers {
		if !slices.ContainsFunc(p.Headers, func(allowed string) bool { return strings.EqualFold(allowed, h) }) {
			return fmt.Sprintf("the header %q is not allowed", h)
		}
	}
	return ""
}

// requested are the names of the headers that a preflight asks for.
func requested(header http.Header) (names []string) {
	for _, line := range header.Values("Access-Control-Request-Headers") {
		for name := range strings.SplitSeq(line, ",") {
			if name = strings.TrimSpace(name); isToken(name) {
				names = append(names, name)
			}
		}
	}
	return names
}

// isToken says whether a text is a token (RFC 9110, section 5.6.2).
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
		return c <= ' ' || c >= 0x7f || strings.ContainsRune(`"(),/:;<=>?@[\]{}`, c)
	})
}
