package webcheck

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/web"
)

// mostRedirects are followed, as long as they stay on this machine.
const mostRedirects = 5

// inspector is an inspection under way.
type inspector struct {
	Options
	started time.Time
	// client speaks a version, HTTP/1.1 or where the server speaks HTTP/2 alone that,
	// over one connection at a time.
	client  *web.Client
	version web.Version

	// url is what is asked: that of the target, or where redirects led.
	url *url.URL
	// page is the answer to the first GET, and pageErr why there is none.
	page    *web.Response
	pageErr error
	// redirect is where the page would lead and was not followed, and why.
	redirect, notFollowed string
	// withheld are the user's headers that did not go where redirects led.
	withheld []string
	jars     cookieJars

	// sockets are those of TCP that listen on this machine, and listeners the ones of
	// the target.
	sockets, listeners []listeners.Listener

	unlisted error // why listeners are not known
	versions []web.Version
	timings  []Timing
	cut      []string // the loads that ended by their time, with requests under way
	loadErr  error
}

func newInspector(o Options) (*inspector, error) {
	i := &inspector{Options: o, started: time.Now().UTC(), url: o.Target.URL, jars: cookieJars{}}
	return i, i.speak(web.HTTP1)
}

// speak has the client speak a version of HTTP.
func (i *inspector) speak(version web.Version) (err error) {
	i.version = version
	i.client, err = web.New(web.Options{Version: version, TLS: unverified(), Connections: 1})
	return err
}

// close ends its idle connections. What is asked then has new ones.
func (i *inspector) close() {
	_ = i.client.Close() // nothing depends on how they end
}

// open finds out who listens and asks for the page.
func (i *inspector) open(ctx context.Context) {
	i.findListeners(ctx)
	for range mostRedirects + 1 {
		if i.page, i.pageErr = i.get(ctx); i.pageErr != nil {
			return
		}
		i.keepCookies()
		to := i.page.Header.Get("Location")
		if i.page.Status/100 != 3 || to == "" {
			return
		}
		next, err := i.url.Parse(to)
		if err != nil {
			i.redirect, i.notFollowed = to, "it is no URL"
			return
		}
		there, err := ParseTarget(ctx, next.String())
		if err != nil {
			i.redirect, i.notFollowed = to, "it leads elsewhere"
			return
		}
		i.leaveOrigin(there.URL)
		i.url = there.URL
	}
	i.pageErr = fmt.Errorf("more than %d redirects, the last to %s", mostRedirects, i.url)
}

// get asks for the page. Where what comes to a request of HTTP/1.1 is none of its
// answers, it is asked for over HTTP/2, and where that is answered so is all else.
func (i *inspector) get(ctx context.Context) (*web.Response, error) {
	page, err := i.ask(ctx, i.client, http.MethodGet)
	failed, ok := errors.AsType[*web.Error](err)
	if !ok || failed.Step != web.Header && failed.Step != web.Secure || errors.Is(err, context.DeadlineExceeded) || i.version == web.HTTP2 {
		return page, err
	}
	i.close()
	if i.answersIn(ctx, web.HTTP2, i.url, i.Timeout) != nil {
		return nil, err
	}
	if err := i.speak(web.HTTP2); err != nil {
		return nil, err
	}
	return i.ask(ctx, i.client, http.MethodGet)
}

// needHTTP1 is what the checks take that cannot be asked over HTTP/2.
var needHTTP1 = check.Need{Name: string(web.HTTP1), How: "the server speaks HTTP/2 alone, and these checks ask over HTTP/1.1: switch it on beside, where other clients are to reach the server"}

// overHTTP1 says whether a check can ask over HTTP/1.1, or skips it.
func (i *inspector) overHTTP1(c *report.Check) bool {
	if i.version == web.HTTP1 {
		return true
	}
	c.SkipFor(needHTTP1, "no answer in it")
	return false
}

// credentials are the headers that are for the server of the URL alone.
var credentials = []string{"Authorization", "Cookie"}

// leaveOrigin takes the user's credentials from the headers where a redirect leads to
// another origin (RFC 9110 15.4; RFC 6454 4).
func (i *inspector) leaveOrigin(to *url.URL) {
	if origin(i.url) == origin(to) {
		return
	}
	i.Header = i.Header.Clone()
	for _, name := range credentials {
		if i.Header.Get(name) != "" {
			i.Header.Del(name)
			i.withheld = append(i.withheld, name)
		}
	}
}

// findListeners looks for the sockets behind the target.
func (i *inspector) findListeners(ctx context.Context) {
	list, err := listeners.Read(ctx)
	if err != nil {
		i.unlisted = err
		return
	}
	for _, l := range list.Listeners {
		if l.Protocol != "tcp" {
			continue
		}
		i.sockets = append(i.sockets, l)
		if slices.ContainsFunc(i.Target.Addresses, func(to netip.AddrPort) bool { return takes(l, to) }) {
			i.listeners = append(i.listeners, l)
		}
	}
}

// takes says whether a listener is one of those for an address.
func takes(l listeners.Listener, to netip.AddrPort) bool {
	return l.Port == to.Port() && (l.Address == to.Addr() || l.Address.IsUnspecified() && (l.Address.Is4() == to.Addr().Is4() || l.IPv4Too))
}

// ask sends a request for the page with further headers, in pairs of name and value;
// Host is the one to send.
func (i *inspector) ask(ctx context.Context, client *web.Client, method string, headers ...string) (*web.Response, error) {
	return i.askFor(ctx, client, method, i.url, headers...)
}

func (i *inspector) askFor(ctx context.Context, client *web.Client, method string, u *url.URL, headers ...string) (*web.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), nil)
	if err != nil {
		return nil, err
	}
	r.Header = i.headerFor(u)
	if host := r.Header.Get("Host"); host != "" {
		r.Host = host
		r.Header.Del("Host")
	}
	for n := 0; n < len(headers); n += 2 {
		if headers[n] == "Host" {
			r.Host = headers[n+1]
			continue
		}
		r.Header.Set(headers[n], headers[n+1])
	}
	return client.Ask(ctx, r)
}

// saw says what a request that failed came to, as a person would.
func (i *inspector) saw(err error) string {
	failed, ok := errors.AsType[*web.Error](err)
	if !ok {
		return err.Error()
	}
	waited := max(i.Timeout, failed.After.Round(time.Second)) // a load may wait for longer
	switch {
	case failed.Step == web.Connect && errors.Is(err, errRefused):
		return "nobody listens there: " + failed.Err.Error()
	case failed.Step == web.Header && errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("it took the connection and answered nothing for %v", waited)
	case failed.Step == web.Body && errors.Is(err, context.DeadlineExceeded):
		return fmt.Sprintf("the body did not end within %v", waited)
	case errors.Is(err, web.ErrTooLarge):
		return fmt.Sprintf("the body did not end within %d MiB", web.MaxBodyBytes>>20)
	}
	return fmt.Sprintf("%s: %v", failed.Step, failed.Err)
}

func (i *inspector) asked() Asked {
	a := Asked{URL: i.Target.URL.String(), Listeners: []listeners.Listener{}, Versions: []web.Version{}}
	if final := i.url.String(); final != a.URL {
		a.Final = final
	}
	for _, addr := range i.Target.Addresses {
		a.Addresses = append(a.Addresses, addr.String())
	}
	a.Listeners = append(a.Listeners, i.listeners...)
	a.Versions = append(a.Versions, i.versions...)
	if i.page != nil {
		a.Status, a.Server = i.page.Status, i.page.Header.Get("Server")
	}
	return a
}

// needShorter is what the checks take that read a page again and again.
var needShorter = check.Need{Name: fmt.Sprintf("a page of up to %d MiB", web.MaxBodyBytes>>20), How: "name a shorter one of the server's in the URL"}

// longBody says how long the page is, of which only the beginning was read.
func (i *inspector) longBody() string {
	return fmt.Sprintf("the page has %d bytes", i.pageBytes())
}

// pageBytes is how long the body of the page is.
func (i *inspector) pageBytes() int64 { return int64(len(i.page.Body)) + i.page.RestBytes }

// secure says whether the page is served over TLS.
func (i *inspector) secure() bool { return i.url.Scheme == "https" }

// lists says whether a comma-separated header holds a token, whatever its case.
func lists(header http.Header, name, token string) bool {
	for _, line := range header.Values(name) {
		for item := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(item), token) {
				return true
			}
		}
	}
	return false
}
