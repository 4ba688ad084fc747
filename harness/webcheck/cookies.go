package webcheck

import (
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
)

// cookieJars hold the cookies that servers set, by origin: browsers send those of a
// host to all of its ports, but what is for one server is not told another here.
type cookieJars map[string]http.CookieJar

// origin is that of a URL of a target (RFC 6454 4).
func origin(u *url.URL) string {
	port, _ := portOf(u) // which ParseTarget has read
	return fmt.Sprintf("%s://%s:%d", u.Scheme, strings.ToLower(u.Hostname()), port)
}

// keepCookies keeps what the page sets.
func (i *inspector) keepCookies() {
	set := (&http.Response{Header: i.page.Header}).Cookies()
	if len(set) == 0 {
		return
	}
	at := origin(i.url)
	if i.jars[at] == nil {
		i.jars[at], _ = cookiejar.New(nil) // without options it does not fail
	}
	i.jars[at].SetCookies(i.url, set)
}

// headerFor is what is sent for a URL: the user's, and with their cookies those that
// its server set.
func (i *inspector) headerFor(u *url.URL) http.Header {
	header := i.Header.Clone()
	if header == nil {
		header = http.Header{}
	}
	jar := i.jars[origin(u)]
	if jar == nil {
		return header
	}
	from := *u
	if i.page.Remote.Addr().IsLoopback() {
		from.Scheme = "https" // browsers send it the cookies of TLS, too (Secure Contexts 3.1)
	}
	cookies := header.Values("Cookie")
	for _, c := range jar.Cookies(&from) {
		cookies = append(cookies, c.String())
	}
	if len(cookies) > 0 {
		header.Set("Cookie", strings.Join(cookies, "; "))
	}
	return header
}
