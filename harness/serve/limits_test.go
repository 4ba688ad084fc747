package serve

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// A stop lets a request end that is under way, and ends one that would never.
func TestStopping(t *testing.T) {
	// On a busy machine both requests have to be under way before the late one is over.
	dir := folderWith(t, map[string]string{"routes.yaml": "routes: [{route: /late, text: done, delay: 2s}, {route: /hang, fault: hang}]"})
	r := start(t, Options{Routes: filepath.Join(dir, "routes.yaml")})
	answers := make(chan string, 2)
	for _, path := range []string{"late", "hang"} {
		go func() {
			response, err := http.Get(r.url + path)
			if err != nil {
				answers <- path + " broken"
				return
			}
			content, _ := io.ReadAll(response.Body)
			_ = response.Body.Close()
			answers <- path + " " + string(content)
		}()
	}
	g := NewWithT(t)
	g.Eventually(r.active.Load).WithTimeout(patience).Should(BeEquivalentTo(2))
	r.stop()
	if err := r.ended(t); err != nil {
		t.Errorf("it ended with %v", err)
	}
	g.Expect([]string{<-answers, <-answers}).To(ConsistOf("late done", "hang broken"))
}

// net/http would wait 5 s for a request over a connection that was opened ahead.
func TestConnectionsWithoutARequestAreNotWaitedFor(t *testing.T) {
	const sooner = 4 * time.Second
	for _, secure := range []bool{false, true} {
		r := start(t, Options{Dir: t.TempDir(), TLS: secure})
		_, at, _ := strings.Cut(strings.TrimSuffix(r.url, "/"), "://")
		ahead, err := net.DialTimeout("tcp", at, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = ahead.Close() }()
		if secure {
			client := tls.Client(ahead, &tls.Config{InsecureSkipVerify: true})
			if err := client.Handshake(); err != nil {
				t.Fatal(err)
			}
			ahead = client
		}
		NewWithT(t).Eventually(r.pool.waiting).WithTimeout(patience).Should(Equal(1))
		r.stop()
		_ = ahead.SetReadDeadline(time.Now().Add(sooner))
		if _, err := io.ReadAll(ahead); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("TLS %v: it is still open", secure)
		}
	}
}

// One that was accepted just before is closed too.
func TestALateConnectionIsClosed(t *testing.T) {
	p := newPool(DefaultLimits)
	p.drain()
	server, client := net.Pipe()
	defer func() { _ = client.Close() }()
	p.track(server, http.StateNew)
	_ = client.SetReadDeadline(time.Now().Add(patience))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("it is still open: %v", err)
	}
}

func (p *pool) waiting() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.unused)
}

func TestRequestsThatDoNotEndAreCutOff(t *testing.T) {
	dir := folderWith(t, map[string]string{"routes.yaml": "routes: [{route: /late, delay: 1h}]"})
	limits := DefaultLimits
	limits.DrainTime = 50 * time.Millisecond
	r := start(t, Options{Routes: filepath.Join(dir, "routes.yaml"), Limits: limits})
	broken := make(chan error, 1)
	go func() {
		response, err := http.Get(r.url + "late")
		if err == nil {
			_ = response.Body.Close()
		}
		broken <- err
	}()
	NewWithT(t).Eventually(r.active.Load).WithTimeout(patience).Should(BeEquivalentTo(1))
	r.stop()
	if err := r.ended(t); err == nil || err.Error() != "cut off after 50ms: 1 request" {
		t.Errorf("it ended with %v", err)
	}
	if <-broken == nil {
		t.Error("the request was answered")
	}
}

// Clients that are slow, or too large, are given up on.
func TestLimits(t *testing.T) {
	dir := folderWith(t, map[string]string{"large": strings.Repeat("x", 32<<20)})
	limits := DefaultLimits
	limits.Connections, limits.HeaderBytes = 1, 4<<10
	limits.HeaderTime, limits.StallTime = time.Second, time.Second // in which a busy machine sends the headers that do come
	r := start(t, Options{Dir: dir, Limits: limits})
	at := strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/")
	for name, c := range map[string]struct {
		send string
		read int // bytes before the client stops reading
		want string
	}{
		"headers that do not come": {"GET / HTTP/1.1\r\nHost: ", 0, ""},
		"headers that are large":   {"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + strings.Repeat("x", 16<<10) + "\r\n\r\n", 0, "HTTP/1.1 431"},
		"nothing is read":          {"GET /large HTTP/1.1\r\nHost: localhost\r\n\r\n", 12, "HTTP/1.1 200"},
	} {
		t.Run(name, func(t *testing.T) {
			// With one place, each waits until the one before was given up on.
			conn, err := net.DialTimeout("tcp", at, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			_, _ = io.WriteString(conn, c.send)
			reader := bufio.NewReaderSize(conn, 16)
			head := make([]byte, 12)
			n, _ := io.ReadFull(reader, head)
			if got := string(head[:n]); got != c.want {
				t.Errorf("got %q", got)
			}
			if c.read > 0 {
				NewWithT(t).Eventually(r.active.Load).WithTimeout(patience).Should(BeZero())
			}
		})
	}
}

// A file that does not change under the reader comes whole, by parts.
func TestLargeFiles(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 3*partBytes/16+1)
	dir := folderWith(t, map[string]string{"large": string(content)})
	for _, secure := range []bool{false, true} {
		r := start(t, Options{Dir: dir, TLS: secure})
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(r.Certificate())
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
		if got := bodyOf(t, do(t, client, http.MethodGet, r.url+"large")); got != string(content) {
			t.Errorf("TLS %v: %d of %d bytes, or others", secure, len(got), len(content))
		}
		got := do(t, client, http.MethodGet, r.url+"large", "Range", fmt.Sprintf("bytes=10-%d", 10+partBytes))
		if body := bodyOf(t, got); body != string(content[10:11+partBytes]) {
			t.Errorf("TLS %v: a range of %d bytes, or others", secure, len(body))
		}
		client.CloseIdleConnections()
	}
}

func TestAResetIsOne(t *testing.T) {
	dir := folderWith(t, map[string]string{"routes.yaml": "routes: [{route: /, fault: reset}]"})
	for _, secure := range []bool{false, true} {
		r := start(t, Options{Routes: filepath.Join(dir, "routes.yaml"), TLS: secure})
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		response, err := client.Post(r.url, "text/plain", strings.NewReader("x"))
		if err == nil {
			_ = response.Body.Close()
		}
		if !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("TLS %v: %v", secure, err)
		}
		client.CloseIdleConnections()
	}
}

// The time for a request's body is not that of its answer.
func TestBodiesThatDoNotCome(t *testing.T) {
	dir := folderWith(t, map[string]string{"a.txt": "x", "routes.yaml": "routes: [{route: /late, text: done, delay: 600ms}]"})
	limits := DefaultLimits
	limits.BodyTime = 200 * time.Millisecond
	r := start(t, Options{Dir: dir, Routes: filepath.Join(dir, "routes.yaml"), Limits: limits})
	response, err := http.Post(r.url+"late", "text/plain", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got := bodyOf(t, response); got != "done" {
		t.Errorf("late: %q", got)
	}
	_ = response.Body.Close()
	for _, path := range []string{"/late", "/a.txt"} {
		conn, err := net.DialTimeout("tcp", strings.TrimSuffix(strings.TrimPrefix(r.url, "http://"), "/"), patience)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, "POST "+path+" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\nabc")
		if _, err := io.ReadAll(conn); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection stays", path)
		}
	}
}
