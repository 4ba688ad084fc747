package webcheck

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/host"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/probe/cors"
	"github.com/loopcheck/loopcheck/probe/iface"
)

const (
	// patience is far above what a whole inspection takes.
	patience = 30 * time.Second
	// impatient is the time-out of servers that never answer, for which it is waited. A
	// busy machine has to connect, and to send what comes first, in that time.
	impatient = 2 * time.Second
)

func target(t *testing.T, url string) Target {
	t.Helper()
	parsed, err := ParseTarget(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

func TestParseTarget(t *testing.T) {
	both := "127.0.0.1:3000 [::1]:3000"
	if own, _, err := iface.Owns(netip.IPv6Loopback()); err != nil || !own {
		both = "127.0.0.1:3000" // there is no ::1 to be asked
	}
	for url, want := range map[string]string{
		"http://127.0.0.1:8080":      "http://127.0.0.1:8080/ 127.0.0.1:8080",
		"https://127.0.0.1/a?b#c":    "https://127.0.0.1/a?b 127.0.0.1:443",
		"http://0.0.0.0:8000/":       "http://127.0.0.1:8000/ 127.0.0.1:8000",
		"http://0.0.0.0":             "http://127.0.0.1/ 127.0.0.1:80",
		"http://[::]:8000/a":         "http://[::1]:8000/a [::1]:8000",
		"http://[::1]:8000/":         "http://[::1]:8000/ [::1]:8000",
		"http://app.localhost:3000/": "http://app.localhost:3000/ " + both,
	} {
		parsed, err := ParseTarget(t.Context(), url)
		got := ""
		if err == nil {
			got = parsed.URL.String()
		}
		for _, to := range parsed.Addresses {
			got += " " + to.String()
		}
		if err != nil || got != want {
			t.Errorf("%s is %q, %v; want %q", url, got, err, want)
		}
	}
	for url, want := range map[string]string{
		"localhost:8080":           `"localhost:8080" is no URL: write it as http://localhost:8080/`,
		"":                         `"" is no URL: write it as http://localhost:8080/`,
		"http://":                  `"http://" names no host: write it as http://localhost:8080/`,
		"ftp://127.0.0.1/":         `"ftp://127.0.0.1/" is of ftp: write http:// or https://`,
		"http://me@127.0.0.1/":     `"http://me@127.0.0.1/" holds a user name: leave it out, and write --header 'Authorization: Basic ...'`,
		"http://127.0.0.1:70000/":  `"http://127.0.0.1:70000/" has no such port: write one from 1 to 65535`,
		"http://127.0.0.1:0/":      `"http://127.0.0.1:0/" has no such port: write one from 1 to 65535`,
		"http://198.51.100.7/":     `"http://198.51.100.7/" leads to 198.51.100.7, which is not an address of this machine: only servers of this machine are asked: run loopcheck there`,
		"http://loopcheck.invalid": `"http://loopcheck.invalid" names no host of this machine (the name is not in the hosts file, and no name server is asked)`,
	} {
		_, err := ParseTarget(t.Context(), url)
		if _, ok := errors.AsType[*TargetError](err); !ok || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", url, err, want)
		}
	}
}

// good answers as a server should.
func good() http.Handler {
	policy := cors.Policy{Origins: []string{"http://localhost:5173"}, Credentials: true}
	page := []byte("<!doctype html><meta charset=utf-8><title>good</title>" + strings.Repeat("loopback ", 400))
	return cors.Hosts(nil).Handler(policy.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Set-Cookie", "session=1; HttpOnly; SameSite=Lax; Secure")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(page))
	})))
}

// serve serves on 127.0.0.1 for the test.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

// talk lets a function speak with each who connects.
func talk(t *testing.T, speak func(net.Conn)) string {
	t.Helper()
	return talkInTurn(t, func(conn net.Conn) {
		go func() {
			defer conn.Close()
			speak(conn)
		}()
	})
}

// inTurn serves connections one after the other until the listener is closed.
func inTurn(listener net.Listener, speak func(net.Conn)) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		speak(conn)
	}
}

// talkInTurn lets a function speak with those who connect, one after the other.
func talkInTurn(t *testing.T, speak func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go inTurn(listener, speak)
	return "http://" + listener.Addr().String()
}

// ask asks some of the checks.
func ask(t *testing.T, o Options, ids ...string) map[string]report.Check {
	t.Helper()
	if o.Timeout == 0 {
		o.Timeout = patience
	}
	i, err := newInspector(o)
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	i.open(t.Context())
	found := map[string]report.Check{}
	for _, q := range questions {
		if slices.Contains(ids, q.ID) {
			found[q.ID] = i.answer(t.Context(), q)
		}
	}
	return found
}

func expect(t *testing.T, found map[string]report.Check, id string, state check.State, message string) {
	t.Helper()
	if c := found[id]; c.State != state || !strings.Contains(c.Message, message) {
		t.Errorf("%s: %s: %s\nit should be %s: %q", id, c.State, c.Message, state, message)
	}
}

func TestAGoodServerPasses(t *testing.T) {
	before := gleak.Goroutines()
	url := serve(t, good())
	r, err := Run(t.Context(), Options{Target: target(t, url), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range r.Checks {
		want := check.Pass
		switch c.ID {
		case "WEB-017", "WEB-018", "WEB-019": // it has no TLS
			want = check.Skip
		case "WEB-003": // where the socket table cannot be read
			if c.State == check.Skip {
				want = check.Skip
			}
		}
		if c.State != want {
			t.Errorf("%s: %s: %s", c.ID, c.State, c.Message)
		}
	}
	if len(r.Timings) != 4 || r.Timings[1].Total.Count == 0 {
		t.Errorf("timings %+v", r.Timings)
	}
	r.Command = []string{"loopcheck", "http", url}
	var document, text bytes.Buffer
	if err := errors.Join(JSON(r)(&document), reporttest.CheckHTTP(document.Bytes()), Text(r, host.Facts{}, report.Style{Width: 100})(&text)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{url, "status 200, HTTP/1.1", "warm, 64 connections", "web"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, text.String())
		}
	}
	NewWithT(t).Eventually(gleak.Goroutines).WithTimeout(patience).ShouldNot(gleak.HaveLeaked(before,
		gleak.IgnoringTopFunction("net/http/httptest.(*Server).goServe.func1"), gleak.IgnoringInBacktrace("net/http/httptest.(*Server)"), gleak.IgnoringInBacktrace("net/http.(*Server).Serve")))
}

func TestServersThatDoNotAnswer(t *testing.T) {
	// say answers what was asked: an answer that comes before it is none.
	say := func(conn net.Conn, answer string) error {
		_, _ = conn.Read(make([]byte, 1<<12))
		_, err := io.WriteString(conn, answer)
		return err
	}
	endless := func(conn net.Conn, head, more string) {
		err := say(conn, head)
		for err == nil {
			_, err = io.WriteString(conn, more)
		}
	}
	long := strings.Repeat("x", 1<<16)
	for name, c := range map[string]struct {
		url, want string
		timeout   time.Duration
	}{
		"nobody":          {"http://127.0.0.1:1", "nobody listens there", 0},
		"silence":         {talk(t, func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }), "it took the connection and answered nothing for ", impatient},
		"an end":          {talk(t, func(net.Conn) {}), "wait for the header of the response", 0},
		"garbage":         {talk(t, func(conn net.Conn) { _ = say(conn, "\x00\xffSSH-2.0-garbage\r\n\r\n") }), "malformed HTTP", 0},
		"endless headers": {talk(t, func(conn net.Conn) { endless(conn, "HTTP/1.1 200 OK\r\n", "X-More: "+long+"\r\n") }), "header", 0},
		"an endless body": {talk(t, func(conn net.Conn) { endless(conn, "HTTP/1.1 200 OK\r\n\r\n", long) }), "the body did not end within 64 MiB", 0},
		"a slow body": {talk(t, func(conn net.Conn) {
			_ = say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nslow")
			_, _ = io.Copy(io.Discard, conn)
		}), "the body did not end within ", impatient},
		"a cut body": {talk(t, func(conn net.Conn) { _ = say(conn, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\ncut") }), "unexpected EOF", 0},
		"an error":   {serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })), "the status is 503 Service Unavailable", 0},
		"a circle":   {serve(t, http.RedirectHandler("/again", http.StatusFound)), "more than 5 redirects", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			found := ask(t, Options{Target: target(t, c.url), Timeout: c.timeout}, "WEB-001", "WEB-005")
			expect(t, found, "WEB-001", check.Fail, c.want)
			if name != "an error" {
				expect(t, found, "WEB-005", check.Skip, "needs an answer to GET")
			}
		})
	}
}

func TestChecksTellWhatTheServerDoes(t *testing.T) {
	answer := func(header string, body string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			for line := range strings.SplitSeq(header, "\n") {
				if name, value, found := strings.Cut(line, ": "); found {
					w.Header().Add(name, value)
				}
			}
			_, _ = io.WriteString(w, body)
		})
	}
	reflecting := func(credentials bool) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Access-Control-Allow-Origin", r.Header.Get("Origin"))
			if credentials {
				w.Header().Set("Access-Control-Allow-Credentials", "true")
			}
		})
	}
	onlyGet := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
	broken := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNotFound)
			_, _ = io.WriteString(w, "Traceback (most recent call last):\n")
		}
	})
	gzipped := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept-Encoding") == "gzip" {
			w.Header().Set("Content-Encoding", "gzip")
		}
		_, _ = io.WriteString(w, "plain")
	})
	seen := make(chan struct{}, 1)
	limited := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		select {
		case seen <- struct{}{}:
		default:
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	for name, c := range map[string]struct {
		handler http.Handler
		id      string
		state   check.State
		want    string
	}{
		"closed connections":   {answer("Connection: close", "page"), "WEB-005", check.Warn, "3 of 3 requests had to open a new connection"},
		"no HEAD":              {onlyGet, "WEB-006", check.Warn, "HEAD is answered with 405, GET with 200"},
		"strange names":        {answer("", "page"), "WEB-008", check.Warn, "it answers requests for the host loopcheck.invalid with 200"},
		"credentials for all":  {reflecting(true), "WEB-009", check.Fail, "GET allows https://loopcheck.invalid with credentials"},
		"the origin reflected": {reflecting(false), "WEB-009", check.Warn, "GET allows null, as it is sent"},
		"a changing ETag":      {answer(`ETag: "1"`, "page"), "WEB-010", check.Warn, `If-None-Match: "1" is answered with 200`},
		"no ranges":            {answer("Accept-Ranges: bytes", "page"), "WEB-011", check.Warn, "the first byte is answered with 200"},
		"no gzip in gzip":      {gzipped, "WEB-012", check.Warn, "asked for gzip"},
		"gzip for all":         {answer("Content-Encoding: gzip", "page"), "WEB-012", check.Warn, "the body comes in gzip"},
		"a shared cookie":      {answer("Cache-Control: public, max-age=60\nSet-Cookie: session=1", "page"), "WEB-013", check.Warn, "it sets a cookie"},
		"an open cookie":       {answer("Set-Cookie: session=1", "page"), "WEB-014", check.Warn, "session: no HttpOnly, no SameSite"},
		"no charset":           {answer("Content-Type: text/html", "<p>page"), "WEB-015", check.Warn, "does not say its charset"},
		"UTF-8 by its mark":    {answer("Content-Type: text/html", "\xef\xbb\xbf<p>page"), "WEB-015", check.Pass, ""},
		"UTF-16 by its mark":   {answer("Content-Type: text/html", "\xfe\xff\x00<\x00p\x00>"), "WEB-015", check.Pass, ""},
		"UTF-16, reversed":     {answer("Content-Type: text/html", "\xff\xfe<\x00p\x00>\x00"), "WEB-015", check.Pass, ""},
		"no type":              {answer("Content-Type: ", "page"), "WEB-015", check.Warn, "no Content-Type"},
		"a trace":              {broken, "WEB-016", check.Warn, "holds a stack trace"},
		"a rate limit":         {limited, "WEB-020", check.Fail, "status 429, where the first answer had 200"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			expect(t, ask(t, Options{Target: target(t, serve(t, c.handler))}, c.id), c.id, c.state, c.want)
		})
	}
	t.Run("no Host", func(t *testing.T) {
		t.Parallel()
		url := talk(t, func(conn net.Conn) {
			_, _ = conn.Read(make([]byte, 1<<12))
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		})
		expect(t, ask(t, Options{Target: target(t, url)}, "WEB-007"), "WEB-007", check.Warn, "without Host is answered with 200")
	})
	t.Run("one address of two", func(t *testing.T) {
		t.Parallel()
		o := Options{Target: target(t, serve(t, good()))}
		other := netip.AddrPortFrom(netip.MustParseAddr("127.9.9.9"), o.Target.Addresses[0].Port())
		o.Target.Addresses = append(o.Target.Addresses, other)
		expect(t, ask(t, o, "WEB-002"), "WEB-002", check.Warn, other.String()+": connection refused")
	})
}

func TestRedirects(t *testing.T) {
	inner := serve(t, good())
	url := serve(t, http.RedirectHandler(inner+"/", http.StatusFound))
	found := ask(t, Options{Target: target(t, url)}, "WEB-001", "WEB-010")
	expect(t, found, "WEB-010", check.Pass, "")

	url = serve(t, http.RedirectHandler("http://198.51.100.7/", http.StatusFound))
	found = ask(t, Options{Target: target(t, url)}, "WEB-001")
	expect(t, found, "WEB-001", check.Pass, "")
	if seen := fmt.Sprint(found["WEB-001"].Evidence); !strings.Contains(seen, "to http://198.51.100.7/, not followed: it leads elsewhere") {
		t.Errorf("evidence %s", seen)
	}
}

func TestHeadersGoWithEachRequest(t *testing.T) {
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer 1" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	o := Options{Target: target(t, url), Header: http.Header{"Authorization": {"Bearer 1"}}}
	found := ask(t, o, "WEB-001", "WEB-020")
	expect(t, found, "WEB-020", check.Pass, "")
	if seen := found["WEB-001"].Evidence; len(seen) == 0 || !strings.HasPrefix(seen[0].Seen, "200 ") {
		t.Errorf("evidence %v", seen)
	}
}

func TestAStoppedRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	url := talk(t, func(conn net.Conn) {
		cancel()
		_, _ = io.Copy(io.Discard, conn)
	})
	r, err := Run(ctx, Options{Target: target(t, url), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	if !r.Interrupted || r.Summary.Interrupted != len(questions) {
		t.Errorf("interrupted: %v, %+v", r.Interrupted, r.Summary)
	}
}

// Every check is explained: Register refuses what explain could not print.
func TestEveryCheckIsWhole(t *testing.T) {
	for n, c := range Checks() {
		if want := fmt.Sprintf("WEB-%03d", n+1); c.ID != want || c.Title == "" || c.Source == "" || c.Asks == "" || c.Why == "" || len(c.Causes) == 0 || len(c.Remedies) == 0 {
			t.Errorf("%s is not whole, or not %s", c.ID, want)
		}
	}
}
