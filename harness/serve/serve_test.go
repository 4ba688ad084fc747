package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/gleak"

	"github.com/loopcheck/loopcheck/probe/cors"
)

// patience bounds what takes milliseconds.
const patience = 10 * time.Second

// running is a server under test and what it told of.
type running struct {
	*Server
	url  string
	stop context.CancelFunc
	end  chan error

	mu      sync.Mutex
	entries []Entry
	said    []string
}

func (r *running) seen() (entries []Entry, said []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append(entries, r.entries...), append(said, r.said...)
}

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// folderWith is a folder with some files, and routes.yaml where there are routes.
func folderWith(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// start serves until the test ends, and sees to it that no goroutine stays.
func start(t testing.TB, o Options) *running {
	t.Helper()
	g := NewWithT(t)
	before := gleak.Goroutines()
	if o.Addresses == nil {
		o.Addresses = []netip.Addr{loopback}
	}
	if o.Limits == (Limits{}) {
		o.Limits = DefaultLimits
	}
	r := &running{end: make(chan error, 1)}
	o.Log = func(e Entry) { r.mu.Lock(); defer r.mu.Unlock(); r.entries = append(r.entries, e) }
	o.Say = func(line string) { r.mu.Lock(); defer r.mu.Unlock(); r.said = append(r.said, line) }
	var err error
	if r.Server, err = New(o); err != nil {
		t.Fatal(err)
	}
	if err := r.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.url = r.URLs()[0]
	var ctx context.Context
	ctx, r.stop = context.WithCancel(context.Background())
	go func() { r.end <- r.Serve(ctx) }()
	t.Cleanup(func() {
		r.stop()
		http.DefaultClient.CloseIdleConnections()
		select {
		case <-r.end:
		case <-time.After(patience):
			t.Error("it goes on when it was told to stop")
		}
		g.Eventually(gleak.Goroutines).WithTimeout(patience).ShouldNot(gleak.HaveLeaked(before))
	})
	return r
}

// ended is what Serve returned.
func (r *running) ended(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.end:
		close(r.end)
		return err
	case <-time.After(patience):
		t.Fatal("it goes on")
	}
	return nil
}

func get(t *testing.T, url string, header ...string) *http.Response {
	t.Helper()
	return do(t, http.DefaultClient, http.MethodGet, url, header...)
}

func do(t *testing.T, client *http.Client, method, url string, header ...string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if request.Header.Set(header[i], header[i+1]); header[i] == "Host" {
			request.Host = header[i+1]
		}
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	response.Body = io.NopCloser(bytes.NewReader(content))
	return response
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	content, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestFilesAndRoutes(t *testing.T) {
	dir := folderWith(t, map[string]string{
		"a.txt": "file", "both.txt": "file", "orders": "file",
		"routes.yaml": "routes:\n- {route: /both.txt, text: route}\n- {route: POST /orders, status: 201}\n",
	})
	r := start(t, Options{Dir: dir, Routes: filepath.Join(dir, "routes.yaml")})
	for request, want := range map[string]string{
		"GET a.txt": "200 file", "GET both.txt": "200 route", "PUT both.txt": "200 route", "POST orders": "201 ", "GET orders": "200 file",
		"PUT orders": "405 Method Not Allowed\n", "PUT a.txt": "405 files are read here: GET, HEAD, OPTIONS\n", "GET none": "404 there is no /none\n",
	} {
		method, path, _ := strings.Cut(request, " ")
		got := do(t, http.DefaultClient, method, r.url+path)
		if text := fmt.Sprintf("%d %s", got.StatusCode, bodyOf(t, got)); text != want {
			t.Errorf("%s: %q, want %q", request, text, want)
		}
	}
}

func TestThePortIsTaken(t *testing.T) {
	r := start(t, Options{Dir: t.TempDir()})
	other, err := New(Options{Dir: t.TempDir(), Addresses: []netip.Addr{loopback}, Port: r.port(), Limits: DefaultLimits})
	if err != nil {
		t.Fatal(err)
	}
	err = other.Listen(t.Context())
	taken, ok := errors.AsType[*PortTakenError](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if !strings.Contains(taken.Holder, fmt.Sprintf("(pid %d", os.Getpid())) {
		t.Errorf("the holder is %q", taken.Holder)
	}
}

func TestRoutesAreReadAnew(t *testing.T) {
	dir := folderWith(t, map[string]string{"routes.yaml": "routes: [{route: /a, text: first}]"})
	path := filepath.Join(dir, "routes.yaml")
	r := start(t, Options{Routes: path})
	g := NewWithT(t)
	now := func() string { return bodyOf(t, get(t, r.url+"a")) }
	g.Expect(now()).To(Equal("first"))
	write := func(content string) {
		t.Helper()
		g.Expect(os.WriteFile(path+".new", []byte(content), 0o644)).To(Succeed())
		g.Expect(os.Rename(path+".new", path)).To(Succeed())
	}
	saying := func() []string { _, said := r.seen(); return said }
	write("routes: [{route: /a, text: the second}]")
	g.Eventually(now).WithTimeout(patience).Should(Equal("the second"))
	write("routes: [{rout: /a}]")
	g.Eventually(saying).WithTimeout(patience).Should(ContainElement(
		"the routes that are there stay: " + path + `:1: unknown key "rout": write one of route, answers, cycle, status, headers, text, json, file, delay, rate, fault, share`))
	g.Expect(now()).To(Equal("the second"))
	g.Expect(os.Remove(path)).To(Succeed())
	g.Eventually(saying).WithTimeout(patience).Should(ContainElement(ContainSubstring("no such file")))
	g.Expect(now()).To(Equal("the second"))
	write("routes: [{route: /a, text: third}]")
	g.Eventually(now).WithTimeout(patience).Should(Equal("third"))
}

// Of reloads that happen at once, as at a change and SIGHUP, the last to look wins.
func TestReloadsAtOnce(t *testing.T) {
	const writers, rounds = 8, 50
	path := filepath.Join(folderWith(t, map[string]string{"routes.yaml": "routes: [{route: /, status: 200}]"}), "routes.yaml")
	s, err := New(Options{Routes: path, Limits: DefaultLimits})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	if changed, err := s.reloadChanged(); changed || err != nil {
		t.Errorf("a file that is as it was is read anew: %v", err)
	}
	for round := range rounds {
		var together sync.WaitGroup
		for i := range writers {
			together.Go(func() {
				written := fmt.Sprintf("%s.%d", path, i)
				if err := os.WriteFile(written, fmt.Appendf(nil, "routes: [{route: /, text: %d of %d}]", i, round), 0o644); err != nil {
					t.Error(err)
				}
				if err := os.Rename(written, path); err != nil {
					t.Error(err)
				}
				if err := s.Reload(); err != nil {
					t.Error(err)
				}
			})
		}
		together.Wait()
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		s.answer(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if got := w.Body.String(); got == "" || !strings.Contains(string(content), "text: "+got+"}") {
			t.Fatalf("%q is answered by the routes %s", got, content)
		}
	}
}

// A server that nobody listens to has nowhere to tell of what happens.
func TestNobodyIsTold(t *testing.T) {
	path := filepath.Join(folderWith(t, map[string]string{"routes.yaml": "routes: [{route: /, text: x}]"}), "routes.yaml")
	s, err := New(Options{Routes: path, Limits: DefaultLimits})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	before := s.routes.Load()
	if s.ReloadAndSay(); s.routes.Load() == before {
		t.Error("the routes are not read anew")
	}
}

func TestTheLogTells(t *testing.T) {
	dir := folderWith(t, map[string]string{"a.txt": "hello", "routes.yaml": "routes: [{route: /gone, fault: close}, {route: /none}]"})
	r := start(t, Options{Dir: dir, Routes: filepath.Join(dir, "routes.yaml")})
	get(t, r.url+"a.txt?x=1", "Range", "bytes=0-1")
	get(t, r.url+"none")
	if response, err := http.Get(r.url + "gone"); err == nil {
		_ = response.Body.Close()
		t.Error("a connection that is closed is answered")
	}
	g := NewWithT(t)
	g.Eventually(func() []string {
		entries, _ := r.seen()
		var lines []string
		for _, e := range entries {
			lines = append(lines, fmt.Sprintf("%s %s %s %d %d %q", e.Remote, e.Method, e.URI, e.Status, e.Bytes, e.Fault))
		}
		return lines
	}).WithTimeout(patience).Should(ContainElements(
		`127.0.0.1 GET /a.txt?x=1 206 2 ""`, `127.0.0.1 GET /none 200 0 ""`, `127.0.0.1 GET /gone 0 0 "close"`))
	e := Entry{Time: time.Date(2026, 11, 29, 10, 52, 3, 123e6, time.UTC), Remote: "::1", Method: "GET", URI: "/a", Duration: 310 * time.Microsecond, Fault: "reset"}
	if got := e.String(); got != "10:52:03.123 ::1 GET /a - 0 0.31ms fault reset" {
		t.Errorf("the line is %q", got)
	}
}

func TestWhatCannotBeServed(t *testing.T) {
	dir := folderWith(t, map[string]string{"a.txt": "x"})
	for path, want := range map[string]string{"none": "no such file or directory", "a.txt": "not a directory"} {
		path = filepath.Join(dir, path)
		_, err := New(Options{Dir: path, Limits: DefaultLimits})
		if _, ok := errors.AsType[*FolderError](err); !ok || err.Error() != path+" cannot be served: "+want {
			t.Errorf("%s: %v", path, err)
		}
	}
	if _, err := New(Options{Dir: dir, CORS: cors.Policy{Origins: []string{"x"}}}); err == nil {
		t.Error("a policy of no origin is taken")
	}
}
