package webcheck

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/web"
)

// errRefused is that of a port on which nobody listens.
var errRefused error = syscall.ECONNREFUSED

func answers(_ context.Context, i *inspector, c *report.Check) {
	if i.pageErr != nil {
		c.Break(check.Fail, fmt.Sprintf("GET %s: %s", i.url, i.saw(i.pageErr)))
		return
	}
	c.Note("status", "%d %s, %d bytes, %s", i.page.Status, http.StatusText(i.page.Status), i.pageBytes(), i.page.Header.Get("Content-Type"))
	if i.version == web.HTTP2 {
		c.Note("version", "it speaks HTTP/2 alone, and is asked over that")
	}
	if i.redirect != "" {
		c.Note("redirect", "to %s, not followed: %s", i.redirect, i.notFollowed)
	}
	if len(i.withheld) > 0 {
		c.Note("not sent on", "%s: the redirect led to another origin, %s", strings.Join(i.withheld, ", "), i.url)
	}
	if i.page.Status >= http.StatusInternalServerError {
		c.Break(check.Fail, fmt.Sprintf("GET %s: the status is %d %s", i.url, i.page.Status, http.StatusText(i.page.Status)))
	}
}

func everyAddress(ctx context.Context, i *inspector, c *report.Check) {
	var refused []string
	for _, to := range i.Target.Addresses {
		ctx, cancel := context.WithTimeout(ctx, i.Timeout)
		conn, err := web.DialContext(ctx, "tcp", to.String())
		cancel()
		switch {
		case errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT):
			c.Note(to.String(), "not an address of this machine now")
		case err != nil:
			refused = append(refused, fmt.Sprintf("  %s: %v", to, cause(err)))
		default:
			_ = conn.Close()
			c.Note(to.String(), "answers")
		}
	}
	if len(refused) > 0 {
		c.Break(check.Warn, i.Target.URL.Hostname()+" stands for addresses on which the server does not answer:", refused...)
	}
}

// cause is the innermost error: what the kernel said.
func cause(err error) error {
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno
	}
	return err
}

func exposed(_ context.Context, i *inspector, c *report.Check) {
	if i.unlisted != nil {
		c.SkipFor(check.Need{Name: "the list of listeners", How: "run it where the socket table can be read"}, i.unlisted.Error())
		return
	}
	if len(i.listeners) == 0 {
		c.SkipFor(check.Need{
			Name: "a socket that listens there",
			How:  "where the page answers all the same, a rule hands the port on (DNAT, as container engines make): see who may use it with `nft list ruleset | grep -e dnat -e redirect`",
		}, "no socket of this network namespace listens on the port")
		return
	}
	var open []string
	for _, l := range i.listeners {
		c.Note("listener", "%s", l)
		if l.Scope != listeners.Loopback {
			open = append(open, "  "+l.String())
		}
	}
	if len(open) > 0 {
		c.Break(check.Warn, "it listens on more than loopback:", open...)
	}
}

func keepsAlive(ctx context.Context, i *inspector, c *report.Check) {
	if i.page.RestBytes > 0 {
		c.SkipFor(needShorter, i.longBody())
		return
	}
	const requests = 3
	opened := 0
	for n := range requests {
		response, err := i.ask(ctx, i.client, http.MethodGet)
		if err != nil {
			c.Break(check.Warn, fmt.Sprintf("request %d of %d: %s", n+1, requests, i.saw(err)))
			return
		}
		if !response.Reused {
			opened++
		}
	}
	if opened > 1 {
		c.Break(check.Warn, fmt.Sprintf("%d of %d requests had to open a new connection", opened, requests))
	}
}

func head(ctx context.Context, i *inspector, c *report.Check) {
	response, err := i.ask(ctx, i.client, http.MethodHead)
	if err != nil {
		c.Break(check.Warn, "HEAD: "+i.saw(err))
		return
	}
	get, got := i.page.Header.Get("Content-Length"), response.Header.Get("Content-Length")
	switch {
	case response.Status != i.page.Status:
		c.Break(check.Warn, fmt.Sprintf("HEAD is answered with %d, GET with %d", response.Status, i.page.Status))
	case get != "" && got != "" && get != got:
		c.Break(check.Warn, fmt.Sprintf("Content-Length of HEAD is %s, of GET %s", got, get))
	}
}

// connect opens a connection to the server as the client does, with TLS where the URL
// has it.
func (i *inspector) connect(ctx context.Context) (net.Conn, error) {
	if i.secure() {
		return i.handshake(ctx, unverified())
	}
	return i.dial(ctx)
}

// dial opens a connection to the server.
func (i *inspector) dial(ctx context.Context) (net.Conn, error) {
	port, err := portOf(i.url)
	if err != nil {
		return nil, err
	}
	return web.DialContext(ctx, "tcp", net.JoinHostPort(i.url.Hostname(), fmt.Sprint(port)))
}

func hostless(ctx context.Context, i *inspector, c *report.Check) {
	if !i.overHTTP1(c) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	conn, err := i.connect(ctx)
	if err != nil {
		c.Break(check.Warn, fmt.Sprintf("connect for a request without Host: %v", cause(err)))
		return
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	// No client of Go's sends this.
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nConnection: close\r\n\r\n", i.url.RequestURI()); err != nil {
		c.Break(check.Warn, fmt.Sprintf("send a request without Host: %v", cause(err)))
		return
	}
	response, err := http.ReadResponse(bufio.NewReader(io.LimitReader(conn, web.MaxBodyBytes)), nil)
	if err != nil {
		if ctx.Err() != nil {
			c.Break(check.Warn, fmt.Sprintf("a request without Host is not answered within %v", i.Timeout))
			return
		}
		c.Note("without Host", "the connection is closed without an answer: %v", cause(err))
		return
	}
	_ = response.Body.Close()
	c.Note("without Host", "%s", response.Status)
	if response.StatusCode < http.StatusBadRequest {
		c.Break(check.Warn, "a request without Host is answered with "+response.Status)
	}
}

// strange is a host that no server has (RFC 2606).
const strange = "loopcheck.invalid"

func rebinding(ctx context.Context, i *inspector, c *report.Check) {
	response, err := i.ask(ctx, i.client, http.MethodGet, "Host", strange)
	if err != nil {
		c.Note("as "+strange, "%s", i.saw(err))
		return
	}
	c.Note("as "+strange, "%d %s", response.Status, http.StatusText(response.Status))
	switch {
	case response.Status/100 != 2:
	case i.secure():
		c.Note("TLS", "the certificate keeps that name from the browser")
	default:
		c.Break(check.Warn, fmt.Sprintf("it answers requests for the host %s with %d, as if that were its own name", strange, response.Status))
	}
}

func errorPage(ctx context.Context, i *inspector, c *report.Check) {
	response, err := i.askFor(ctx, i.client, http.MethodGet, i.url.ResolveReference(noSuchPage))
	if err != nil {
		c.Break(check.Warn, "a page that is not there: "+i.saw(err))
		return
	}
	c.Note("a page that is not there", "%d %s, %d bytes", response.Status, http.StatusText(response.Status), len(response.Body))
	if response.Status >= http.StatusInternalServerError {
		c.Break(check.Warn, fmt.Sprintf("a page that is not there is answered with %d %s", response.Status, http.StatusText(response.Status)))
		return
	}
	for _, mark := range traces {
		if strings.Contains(string(response.Body), mark) {
			c.Break(check.Warn, fmt.Sprintf("the answer for a page that is not there holds a stack trace (%q)", strings.TrimSpace(mark)))
			return
		}
	}
}
