package files

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite what the tests compare with")

// written is when every file of the tests was.
var written = time.Date(2026, 11, 29, 10, 0, 0, 123456789, time.UTC)

// handlerOf serves a folder of files, by name; a name that ends with a slash is a
// folder.
func handlerOf(t testing.TB, content map[string]string) *Handler {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, written, written); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = root.Close() })
	return &Handler{Root: root}
}

func ask(t testing.TB, h http.Handler, target string, header ...string) *http.Response {
	t.Helper()
	return request(t, h, http.MethodGet, target, header...)
}

func request(t testing.TB, h http.Handler, method, target string, header ...string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, "/", nil)
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t testing.TB, r *http.Response) string {
	t.Helper()
	content, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

var site = map[string]string{
	"index.html": "<h1>home</h1>", "a.txt": "hello", "app.js": "1", "data": "{}", ".env": "secret", "sub/.git/config": "secret",
	"docs/index.html": "<h1>docs</h1>", "docs/a b.txt": "blank", "empty/": "", "odd:name.txt": "odd",
}

func TestServes(t *testing.T) {
	h := handlerOf(t, site)
	for target, want := range map[string]struct {
		status int
		kind   string
		body   string
	}{
		"/":                             {200, "text/html; charset=utf-8", "<h1>home</h1>"},
		"/index.html":                   {200, "text/html; charset=utf-8", "<h1>home</h1>"},
		"/a.txt":                        {200, "text/plain; charset=utf-8", "hello"},
		"/app.js?v=1":                   {200, "text/javascript; charset=utf-8", "1"},
		"/data":                         {200, "text/plain; charset=utf-8", "{}"},
		"/docs/":                        {200, "text/html; charset=utf-8", "<h1>docs</h1>"},
		"/docs/a b.txt":                 {200, "text/plain; charset=utf-8", "blank"},
		"/docs/../a.txt":                {200, "text/plain; charset=utf-8", "hello"},
		"//a.txt":                       {200, "text/plain; charset=utf-8", "hello"},
		"/odd:name.txt":                 {200, "text/plain; charset=utf-8", "odd"},
		"/absent":                       {404, "text/plain; charset=utf-8", "there is no /absent\n"},
		"/../../../etc/passwd":          {404, "text/plain; charset=utf-8", "there is no /../../../etc/passwd\n"},
		"/.env":                         {404, "text/plain; charset=utf-8", "there is no /.env\n"},
		"/sub/.git/config":              {404, "text/plain; charset=utf-8", "there is no /sub/.git/config\n"},
		"/sub/.git/../.git/":            {404, "text/plain; charset=utf-8", "there is no /sub/.git/../.git/\n"},
		"/a.txt\x00.html":               {404, "text/plain; charset=utf-8", "there is no /a.txt\x00.html\n"},
		"/" + strings.Repeat("x", 5000): {404, "text/plain; charset=utf-8", "there is no /" + strings.Repeat("x", 5000) + "\n"},
	} {
		got := ask(t, h, target)
		if body := bodyOf(t, got); got.StatusCode != want.status || got.Header.Get("Content-Type") != want.kind || body != want.body {
			t.Errorf("%.40q: %d, %q, %.60q", target, got.StatusCode, got.Header.Get("Content-Type"), body)
		}
		if got.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%.40q: a browser may guess what it is", target)
		}
	}
}

// A redirect leads to the same host, whatever the path.
func TestRedirects(t *testing.T) {
	h := handlerOf(t, map[string]string{"docs/": "", "evil.example/": "", "a:b/": "", "a.txt": "x"})
	for target, want := range map[string]string{
		"/docs":             "/docs/",
		"/docs?x=1":         "/docs/?x=1",
		"//evil.example":    "/evil.example/",
		"/a:b":              "/a:b/",
		"/a.txt/":           "/a.txt",
		"//docs/..//a.txt/": "/a.txt",
		"/.":                "/",
		"/a/..":             "/",
		"//..?x=1":          "/?x=1",
		"/docs/.":           "/docs/",
		"":                  "/",
	} {
		got := ask(t, h, target)
		if to := got.Header.Get("Location"); got.StatusCode != http.StatusMovedPermanently || to != want {
			t.Errorf("%s: %d to %q, want %q", target, got.StatusCode, to, want)
		}
	}
}

func TestDotfilesAreServedWhenAsked(t *testing.T) {
	h := handlerOf(t, site)
	h.Dotfiles = true
	if got := bodyOf(t, ask(t, h, "/.env")); got != "secret" {
		t.Errorf("got %q", got)
	}
	if got := bodyOf(t, ask(t, h, "/sub/")); !strings.Contains(got, `<a href=".git/">`) {
		t.Errorf("the list is %s", got)
	}
}

func TestSinglePage(t *testing.T) {
	h := handlerOf(t, site)
	h.SinglePage = true
	for _, c := range []struct {
		target, accept string
		status         int
	}{
		{"/users/7", "*/*", 200},
		{"/users/john.doe", "text/html,*/*", 200},
		{"/data/sub", "*/*", 200},
		{"/a.txt/sub/page", "*/*", 200},
		{"/" + strings.Repeat("x", 256), "*/*", 200},
		{"/missing.js", "*/*", 404},
		{"/a.txt/missing.js", "*/*", 404},
		{"/.env", "*/*", 404},
	} {
		got := ask(t, h, c.target, "Accept", c.accept)
		home := bodyOf(t, got) == site["index.html"]
		if got.StatusCode != c.status || home != (c.status == 200) {
			t.Errorf("%.40s: %d, home page: %v", c.target, got.StatusCode, home)
		}
	}
	without := handlerOf(t, map[string]string{"a.txt": ""})
	without.SinglePage = true
	if got := ask(t, without, "/users"); got.StatusCode != http.StatusNotFound {
		t.Errorf("without an index.html: %d", got.StatusCode)
	}
}

func TestMethods(t *testing.T) {
	h := handlerOf(t, site)
	for method, want := range map[string]struct {
		status int
		body   string
	}{
		"HEAD": {200, ""}, "OPTIONS": {204, ""},
		"POST":   {405, "files are read here: GET, HEAD, OPTIONS\n"},
		"DELETE": {405, "files are read here: GET, HEAD, OPTIONS\n"},
	} {
		got := request(t, h, method, "/a.txt")
		if body := bodyOf(t, got); got.StatusCode != want.status || body != want.body {
			t.Errorf("%s: %d, %q", method, got.StatusCode, body)
		}
		if allow := got.Header.Get("Allow"); want.status != 200 && allow != methods {
			t.Errorf("%s: Allow %q", method, allow)
		}
	}
	if list := request(t, h, "HEAD", "/empty/"); list.StatusCode != 200 || bodyOf(t, list) != "" {
		t.Errorf("HEAD of a list: %d", list.StatusCode)
	}
}

func TestConditionsAndRanges(t *testing.T) {
	h := handlerOf(t, site)
	tag := ask(t, h, "/a.txt").Header.Get("ETag")
	if tag == "" || tag == ask(t, h, "/app.js").Header.Get("ETag") {
		t.Fatalf("the tag is %q", tag)
	}
	for name, c := range map[string]struct {
		header []string
		status int
		body   string
	}{
		"same tag":        {[]string{"If-None-Match", tag}, 304, ""},
		"other tag":       {[]string{"If-None-Match", `"x"`}, 200, "hello"},
		"not since":       {[]string{"If-Modified-Since", written.Add(time.Second).Format(http.TimeFormat)}, 304, ""},
		"range":           {[]string{"Range", "bytes=1-2"}, 206, "el"},
		"last bytes":      {[]string{"Range", "bytes=-2"}, 206, "lo"},
		"beyond":          {[]string{"Range", "bytes=9-"}, 416, "invalid range: failed to overlap\n"},
		"range of it":     {[]string{"Range", "bytes=0-0", "If-Range", tag}, 206, "h"},
		"range of others": {[]string{"Range", "bytes=0-0", "If-Range", `"x"`}, 200, "hello"},
		"precondition":    {[]string{"If-Match", `"x"`}, 412, ""},
	} {
		got := ask(t, h, "/a.txt", c.header...)
		if body := bodyOf(t, got); got.StatusCode != c.status || body != c.body {
			t.Errorf("%s: %d, %q", name, got.StatusCode, body)
		}
	}
	if err := h.Root.WriteFile("a.txt", []byte("HELLO"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, h, "/a.txt", "If-None-Match", tag); got.StatusCode != 200 || bodyOf(t, got) != "HELLO" {
		t.Errorf("a file of the same size that was written anew: %d", got.StatusCode)
	}
}

// Names are whatever a file system lets them be.
func TestList(t *testing.T) {
	content := map[string]string{"zoo/": "", "a&b.txt": "1234", "b c#?%.txt": "", "odd:name": "x", "ü.txt": "", ".hidden": ""}
	content[`<script>alert("1")<`] = ""
	h := handlerOf(t, map[string]string{"x/": ""})
	for name, text := range content {
		path := "x/" + name
		if strings.HasSuffix(name, "/") {
			if err := h.Root.Mkdir(strings.TrimSuffix(path, "/"), 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := h.Root.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Skipf("this file system does not take %q: %v", name, err)
		}
		if err := h.Root.Chtimes(strings.TrimSuffix(path, "/"), written, written); err != nil {
			t.Fatal(err)
		}
	}
	got := ask(t, h, "/x/", "Accept", "text/html")
	page := bodyOf(t, got)
	const golden = "testdata/list.html"
	if *update {
		if err := os.WriteFile(golden, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), page); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if policy := got.Header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") {
		t.Errorf("the policy is %q", policy)
	}
	var entries []entry
	if err := json.Unmarshal([]byte(bodyOf(t, ask(t, h, "/x/", "Accept", "application/json"))), &entries); err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(content)-1 || entries[0] != (entry{"zoo", true, 0, "2026-11-29T10:00:00Z"}) {
		t.Errorf("as JSON: %+v", entries)
	}
	for _, e := range entries {
		if e.Dir {
			continue
		}
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.Path = "/x/" + e.Name
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != http.StatusOK {
			t.Errorf("%q is listed and answered %d", e.Name, w.Code)
		}
	}
}

func TestALongListIsCut(t *testing.T) {
	h := handlerOf(t, map[string]string{"x/": ""})
	for i := range maxEntries + 1 {
		f, err := h.Root.Create(fmt.Sprintf("x/%d", i))
		if err != nil {
			t.Fatal(err)
		}
		_ = f.Close()
	}
	page := bodyOf(t, ask(t, h, "/x/"))
	if rows := strings.Count(page, "<th scope=\"row\">"); rows != maxEntries || !strings.Contains(page, "more than the 10000") {
		t.Errorf("%d rows", rows)
	}
}

func TestMediaTypes(t *testing.T) {
	for name, want := range map[string]string{
		"A.JS": "text/javascript; charset=utf-8", "m.mjs": "text/javascript; charset=utf-8", "a.wasm": "application/wasm", "a.css": "text/css; charset=utf-8",
		"a.svg": "image/svg+xml", "a.b.json": "application/json", "Makefile": "", "a.": "",
	} {
		if got := MediaType(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

// FuzzPath holds that no path leads out of the folder or to what is hidden.
func FuzzPath(f *testing.F) {
	h := handlerOf(f, map[string]string{"root/a.txt": "served", "root/sub/b.txt": "served", "root/.env": "secret", "root/sub/.git/c": "secret", "outside.txt": "secret"})
	inner, err := h.Root.OpenRoot("root")
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = inner.Close() })
	h.Root = inner
	for _, path := range []string{"/a.txt", "/../outside.txt", "/sub/../../outside.txt", "/.env", "/sub/.git/c", "/sub//./b.txt", "", "/\x00", "/..\\outside.txt"} {
		f.Add(path)
	}
	f.Fuzz(func(t *testing.T, path string) {
		got := ask(t, h, path)
		if body := bodyOf(t, got); strings.Contains(body, "secret") || got.StatusCode >= 500 {
			t.Errorf("%q: %d, %q", path, got.StatusCode, body)
		}
	})
}
