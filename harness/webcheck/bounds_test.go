package webcheck

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/web"
)

// A page that takes long, of a server that makes one at a time, is slow and not lost.
func TestSlowPagesAreNotLost(t *testing.T) {
	t.Parallel()
	var one sync.Mutex
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		one.Lock()
		defer one.Unlock()
		select {
		case <-time.After(50 * time.Millisecond): // 64 of them take more than a request may
		case <-r.Context().Done():
		}
		_, _ = io.WriteString(w, "slow")
	}))
	found := ask(t, Options{Target: target(t, url), Timeout: time.Second}, "WEB-020")
	expect(t, found, "WEB-020", check.Pass, "")
}

// A body that is long and says so has an end, which need not be read.
func TestALongBodyIsNotEndless(t *testing.T) {
	t.Parallel()
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "long.bin", time.Time{}, bytes.NewReader(make([]byte, web.MaxBodyBytes+1)))
	}))
	found := ask(t, Options{Target: target(t, url)}, "WEB-001", "WEB-005", "WEB-006", "WEB-011", "WEB-020")
	expect(t, found, "WEB-001", check.Pass, "")
	expect(t, found, "WEB-005", check.Skip, "the page has 67108865 bytes")
	expect(t, found, "WEB-006", check.Pass, "")
	expect(t, found, "WEB-011", check.Pass, "")
	expect(t, found, "WEB-020", check.Skip, "the page has 67108865 bytes")
}

// Where no socket listens, who reaches the server is not known.
func TestAPortWithoutAListener(t *testing.T) {
	i, err := newInspector(Options{Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	for _, q := range questions {
		if q.ID == "WEB-003" {
			expect(t, map[string]report.Check{q.ID: i.answer(t.Context(), q)}, q.ID, check.Skip, "DNAT")
		}
	}
}

// What is for one server is not told another, even of the same host.
func TestCredentialsStayWithTheirOrigin(t *testing.T) {
	heard := make(chan http.Header, 1)
	other := serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { heard <- r.Header }))
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Header.Get("Authorization") == "" || r.Header.Get("Cookie") == "":
			w.WriteHeader(http.StatusUnauthorized)
		case r.URL.Path == "/":
			http.SetCookie(w, &http.Cookie{Name: "own", Value: "1", Path: "/"})
			http.Redirect(w, r, "/own", http.StatusFound)
		default:
			http.Redirect(w, r, other+"/", http.StatusFound)
		}
	}))
	header := http.Header{"Authorization": {"Bearer 1"}, "Cookie": {"session=1"}, "X-Other": {"1"}}
	found := ask(t, Options{Target: target(t, url), Header: header}, "WEB-001")
	expect(t, found, "WEB-001", check.Pass, "")
	if got := <-heard; got.Get("Authorization") != "" || got.Get("Cookie") != "" || got.Get("X-Other") != "1" {
		t.Errorf("the other origin was sent %v", got)
	}
	if seen := fmt.Sprint(found["WEB-001"].Evidence); !strings.Contains(seen, "Authorization, Cookie: the redirect led to another origin") {
		t.Errorf("evidence %s", seen)
	}
	if header.Get("Authorization") == "" {
		t.Error("the caller's headers were changed")
	}
}

// A page that asks for a cookie back gets it with each request, beside the user's own.
func TestCookiesAreKept(t *testing.T) {
	for name, set := range map[string]http.Cookie{
		"plain":                            {Name: "probe", Value: "1"},
		"of TLS, which loopback needs not": {Name: "probe", Value: "1", Secure: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if got := r.Header.Get("Cookie"); got == "session=1; probe=1" {
					return
				}
				http.SetCookie(w, &set)
				http.Redirect(w, r, "/", http.StatusFound)
			}))
			o := Options{Target: target(t, url), Header: http.Header{"Cookie": {"session=1"}}}
			found := ask(t, o, "WEB-001", "WEB-006", "WEB-020")
			for id := range found {
				expect(t, found, id, check.Pass, "")
			}
			if seen := fmt.Sprint(found["WEB-001"].Evidence); !strings.Contains(seen, "200 OK") {
				t.Errorf("evidence %s", seen)
			}
		})
	}
}

// A page that redirects to itself, until it has its cookie, has led nowhere.
func TestARedirectToThePageItself(t *testing.T) {
	url := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := r.Cookie("probe"); err != nil {
			http.SetCookie(w, &http.Cookie{Name: "probe", Value: "1"})
			http.Redirect(w, r, "/", http.StatusFound)
		}
	}))
	i, err := newInspector(Options{Target: target(t, url), Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	defer i.close()
	i.open(t.Context())
	if a := i.asked(); a.Status != http.StatusOK || a.Final != "" {
		t.Errorf("%+v", a)
	}
}

// keepAlive answers the requests of one connection until its client ends it.
func keepAlive(conn net.Conn) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		status := "200 OK"
		switch {
		case r.ProtoMajor > 1:
			status = "505 HTTP Version Not Supported"
		case r.Host == "":
			status = "400 Bad Request"
		}
		if _, err := fmt.Fprintf(conn, "HTTP/1.1 %s\r\nContent-Length: 0\r\n\r\n", status); err != nil || r.Close || r.ProtoMajor > 1 {
			return
		}
	}
}

// A server that serves one connection at a time is not kept from the next by one that
// is idle.
func TestIdleConnectionsAreNotInTheWay(t *testing.T) {
	t.Parallel()
	found := ask(t, Options{Target: target(t, talkInTurn(t, keepAlive))}, "WEB-004", "WEB-005", "WEB-006", "WEB-007", "WEB-012")
	for id := range found {
		expect(t, found, id, check.Pass, "")
	}
}
