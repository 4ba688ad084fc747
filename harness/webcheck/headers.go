package webcheck

import (
	"bytes"
	"context"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/web"
)

var noSuchPage = &url.URL{Path: "/loopcheck-no-such-page"}

// traces are what stack traces of common languages hold.
var traces = []string{
	"Traceback (most recent call last)", "goroutine 1 [", "\n\tat ", "\n    at ", "node:internal/", "Exception in thread",
	"stack backtrace:", "#0 /", "DEBUG = True",
}

// crossOrigin asks as pages that no server means to allow.
func crossOrigin(ctx context.Context, i *inspector, c *report.Check) {
	origins := []string{"https://" + strange, i.url.Scheme + "://" + i.url.Hostname() + "." + strange, "null"}
	var fails, warns []string
	add := func(all *[]string, format string, args ...any) {
		*all = append(*all, "  "+fmt.Sprintf(format, args...))
	}
	for _, origin := range origins {
		for _, method := range []string{http.MethodGet, http.MethodOptions} {
			headers := []string{"Origin", origin}
			what := "GET"
			if method == http.MethodOptions {
				headers = append(headers, "Access-Control-Request-Method", http.MethodPut)
				what = "the preflight of PUT"
			}
			response, err := i.ask(ctx, i.client, method, headers...)
			if err != nil {
				add(&warns, "%s as a page of %s: %s", what, origin, i.saw(err))
				continue
			}
			allowed := response.Header.Get("Access-Control-Allow-Origin")
			credentials := response.Header.Get("Access-Control-Allow-Credentials") == "true"
			switch {
			case allowed == origin && credentials:
				add(&fails, "%s allows %s with credentials", what, origin)
			case allowed == origin:
				add(&warns, "%s allows %s, as it is sent", what, origin)
			case allowed == "*" && credentials:
				add(&warns, "%s allows * with credentials, which every browser refuses", what)
			}
			if origin == origins[0] && allowed != "" {
				c.Note("Access-Control-Allow-Origin", "%s, to %s", allowed, what)
			}
		}
	}
	switch {
	case len(fails) > 0:
		c.Break(check.Fail, "pages of other origins may act as the person who is logged in:", append(fails, warns...)...)
	case len(warns) > 0:
		c.Break(check.Warn, "what it says to pages of other origins:", warns...)
	}
}

func conditional(ctx context.Context, i *inspector, c *report.Check) {
	name, value := "If-None-Match", i.page.Header.Get("ETag")
	if value == "" {
		name, value = "If-Modified-Since", i.page.Header.Get("Last-Modified")
	}
	if value == "" || i.page.Status != http.StatusOK {
		c.SkipFor(check.Need{Name: "a page with ETag or Last-Modified", How: "name one of the server's static files in the URL"}, "the answer has neither")
		return
	}
	response, err := i.ask(ctx, i.client, http.MethodGet, name, value)
	switch {
	case err != nil:
		c.Break(check.Warn, name+": "+i.saw(err))
	case response.Status != http.StatusNotModified:
		c.Break(check.Warn, fmt.Sprintf("%s: %s is answered with %d, though nothing has changed", name, value, response.Status))
	}
}

func ranges(ctx context.Context, i *inspector, c *report.Check) {
	if !lists(i.page.Header, "Accept-Ranges", "bytes") || i.page.Status != http.StatusOK || len(i.page.Body) == 0 {
		c.SkipFor(check.Need{Name: "a page that offers ranges", How: "name one of the server's static files in the URL"}, "the answer does not say `Accept-Ranges: bytes`")
		return
	}
	first, err := i.ask(ctx, i.client, http.MethodGet, "Range", "bytes=0-0")
	if err != nil {
		c.Break(check.Warn, "the first byte: "+i.saw(err))
		return
	}
	want := fmt.Sprintf("bytes 0-0/%d", i.pageBytes())
	if got := first.Header.Get("Content-Range"); first.Status != http.StatusPartialContent || got != want || !bytes.Equal(first.Body, i.page.Body[:1]) {
		c.Break(check.Warn, fmt.Sprintf("the first byte is answered with %d, Content-Range %q and %d bytes, want 206, %q and the byte itself", first.Status, got, len(first.Body), want))
		return
	}
	behind, err := i.ask(ctx, i.client, http.MethodGet, "Range", fmt.Sprintf("bytes=%d-", i.pageBytes()))
	switch {
	case err != nil:
		c.Break(check.Warn, "a range behind the end: "+i.saw(err))
	case behind.Status != http.StatusRequestedRangeNotSatisfiable:
		c.Break(check.Warn, fmt.Sprintf("a range behind the end is answered with %d, want 416", behind.Status))
	}
}

// worthCompressing is what fits into one segment with its headers, below which it
// gains nothing.
const worthCompressing = 1400

func compression(ctx context.Context, i *inspector, c *report.Check) {
	if encoding := i.page.Header.Get("Content-Encoding"); encoding != "" && encoding != "identity" {
		c.Break(check.Warn, "the body comes in "+encoding+" to a client that did not ask for it")
		return
	}
	client, err := web.New(web.Options{Version: i.version, TLS: unverified(), Gzip: true})
	if err != nil {
		c.Break(check.Warn, err.Error())
		return
	}
	defer client.Close()
	response, err := i.ask(ctx, client, http.MethodGet)
	switch {
	case err != nil:
		c.Break(check.Warn, "asked for gzip: "+i.saw(err))
	case response.Decompressed && !lists(response.Header, "Vary", "Accept-Encoding") && !lists(response.Header, "Vary", "*"):
		c.Break(check.Warn, "it compresses by Accept-Encoding, and does not say so in Vary")
	case response.Decompressed:
		c.Note("gzip", "served")
	case len(response.Body) > worthCompressing && strings.HasPrefix(response.Header.Get("Content-Type"), "text/"):
		c.Note("gzip", "not served, for %d bytes of text", len(response.Body))
	}
}

func caching(_ context.Context, i *inspector, c *report.Check) {
	control := strings.Join(i.page.Header.Values("Cache-Control"), ", ")
	c.Note("Cache-Control", "%q", control)
	shared := lists(i.page.Header, "Cache-Control", "public") || strings.Contains(strings.ToLower(control), "s-maxage=")
	if shared && len(i.page.Header.Values("Set-Cookie")) > 0 {
		c.Break(check.Warn, fmt.Sprintf("it sets a cookie in an answer that shared caches may keep (Cache-Control: %s)", control))
	}
}

func cookies(_ context.Context, i *inspector, c *report.Check) {
	var open []string
	for _, line := range i.page.Header.Values("Set-Cookie") {
		cookie, err := http.ParseSetCookie(line)
		if err != nil {
			open = append(open, fmt.Sprintf("  %q: %v", line, err))
			continue
		}
		var lacks []string
		if !cookie.HttpOnly {
			lacks = append(lacks, "HttpOnly")
		}
		if cookie.SameSite <= http.SameSiteDefaultMode {
			lacks = append(lacks, "SameSite")
		}
		if i.secure() && !cookie.Secure {
			lacks = append(lacks, "Secure")
		}
		if len(lacks) > 0 {
			open = append(open, fmt.Sprintf("  %s: no %s", cookie.Name, strings.Join(lacks, ", no ")))
		}
	}
	if len(open) > 0 {
		c.Break(check.Warn, "cookies that scripts or other sites may use:", open...)
	}
}

// sniffed is how far browsers look for the charset in a page.
const sniffed = 1024

func contentType(_ context.Context, i *inspector, c *report.Check) {
	if len(i.page.Body) == 0 {
		c.SkipFor(check.Need{Name: "a page with a body", How: "name one in the URL"}, fmt.Sprintf("the answer, %d, has none", i.page.Status))
		return
	}
	value := i.page.Header.Get("Content-Type")
	c.Note("Content-Type", "%q", value)
	c.Note("X-Content-Type-Options", "%q", i.page.Header.Get("X-Content-Type-Options"))
	kind, parameters, err := mime.ParseMediaType(value)
	switch {
	case value == "":
		c.Break(check.Warn, fmt.Sprintf("the answer has a body of %d bytes and no Content-Type", len(i.page.Body)))
	case err != nil:
		c.Break(check.Warn, fmt.Sprintf("the Content-Type %q: %v", value, err))
	case kind == "text/html" && parameters["charset"] == "" && !saysCharset(i.page.Body):
		c.Break(check.Warn, "the page does not say its charset, neither in the header nor in its first 1024 bytes")
	}
}

// byteOrderMarks are those that decide the charset of a page, of UTF-8 and of UTF-16
// in either order (Encoding Standard, decode).
var byteOrderMarks = [][]byte{{0xef, 0xbb, 0xbf}, {0xfe, 0xff}, {0xff, 0xfe}}

// saysCharset says whether a page begins with a byte order mark, or names its charset.
func saysCharset(page []byte) bool {
	return slices.ContainsFunc(byteOrderMarks, func(mark []byte) bool { return bytes.HasPrefix(page, mark) }) ||
		bytes.Contains(bytes.ToLower(page[:min(sniffed, len(page))]), []byte("charset="))
}
