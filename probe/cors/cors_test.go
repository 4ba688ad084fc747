package cors

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParseOrigin(t *testing.T) {
	for text, want := range map[string]string{
		"http://localhost:5173":        "http://localhost:5173",
		"HTTP://LocalHost:80/":         "http://localhost",
		"https://app.localhost:443":    "https://app.localhost",
		"https://app.localhost:08443":  "https://app.localhost:8443",
		"http://[::1]:8080":            "http://[::1]:8080",
		"http://[0:0:0:0:0:0:0:1]:80/": "http://[::1]",
		"http://127.0.0.1":             "http://127.0.0.1",
	} {
		if got, err := ParseOrigin(text); err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", "null", "*", "localhost:5173", "http://", "http://:80", "ftp://localhost", "http://localhost/path",
		"http://localhost?x", "http://u@localhost", "http://*.localhost", "http://localhost:", "http://localhost:0",
		"http://localhost:70000", "file:///etc/passwd", "http://[localhost]",
	} {
		var wrong *OriginError
		if got, err := ParseOrigin(text); !errors.As(err, &wrong) {
			t.Errorf("%q is taken for %q, %v", text, got, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		policy Policy
		want   string
	}{
		"nobody":               {Policy{}, ""},
		"anybody":              {Policy{Origins: []string{Any}}, ""},
		"with credentials":     {Policy{Origins: []string{"http://localhost:1"}, Credentials: true, MaxAge: time.Minute}, ""},
		"anybody's":            {Policy{Origins: []string{Any}, Credentials: true}, `credentials for the origin "*" are refused by every browser: name the origins`},
		"anybody and somebody": {Policy{Origins: []string{Any, "http://localhost:1"}}, `origins: "*" allows every origin: leave the others out, or it`},
		"never matched":        {Policy{Origins: []string{"http://localhost:80"}}, `"http://localhost:80" is no origin (browsers write http://localhost): write it as http://localhost:5173 or https://app.localhost`},
		"part of a second":     {Policy{MaxAge: time.Millisecond}, "max-age 1ms: write whole seconds, 0 or more"},
	} {
		got := ""
		if err := c.policy.Validate(); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// answer is what a page of an origin is told.
type answer struct {
	status int
	header map[string][]string
	body   string
}

func ask(t *testing.T, h http.Handler, method, origin string, more ...string) answer {
	t.Helper()
	r := httptest.NewRequest(method, "http://localhost:8080/", nil)
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	for i := 0; i < len(more); i += 2 {
		r.Header.Set(more[i], more[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	header := w.Result().Header
	header.Del("Content-Type")
	header.Del("X-Content-Type-Options")
	return answer{w.Code, header, w.Body.String()}
}

var served = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "served") })

func TestHandler(t *testing.T) {
	const page, other = "http://localhost:5173", "http://127.0.0.1:5173"
	named := Policy{
		Origins: []string{page}, Methods: []string{"PUT"}, Headers: []string{"X-Token"}, Expose: []string{"X-Total"},
		MaxAge: 10 * time.Minute, Credentials: true,
	}
	byOrigin := []string{"Origin"}
	byPreflight := []string{"Origin", "Access-Control-Request-Method", "Access-Control-Request-Headers"}
	for name, c := range map[string]struct {
		policy         Policy
		method, origin string
		more           []string
		want           answer
	}{
		"its origin": {named, "GET", page, nil, answer{200, map[string][]string{
			"Vary": byOrigin, "Access-Control-Allow-Origin": {page}, "Access-Control-Allow-Credentials": {"true"},
			"Access-Control-Expose-Headers": {"X-Total"},
		}, "served"}},
		"another origin": {named, "GET", other, nil, answer{200, map[string][]string{"Vary": byOrigin}, "served"}},
		"no origin":      {named, "GET", "", nil, answer{200, map[string][]string{"Vary": byOrigin}, "served"}},
		"any origin": {Policy{Origins: []string{Any}}, "GET", "null", nil, answer{200, map[string][]string{
			"Access-Control-Allow-Origin": {Any},
		}, "served"}},
		"OPTIONS that is no preflight": {named, "OPTIONS", "", nil, answer{200, map[string][]string{"Vary": byOrigin}, "served"}},
		"preflight": {named, "OPTIONS", page, []string{"Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "x-token"}, answer{204, map[string][]string{
			"Vary": byPreflight, "Access-Control-Allow-Origin": {page}, "Access-Control-Allow-Credentials": {"true"},
			"Access-Control-Allow-Methods": {"GET, HEAD, POST, PUT"}, "Access-Control-Allow-Headers": {"x-token"},
			"Access-Control-Max-Age": {"600"},
		}, ""}},
		"preflight of another origin": {named, "OPTIONS", other, []string{"Access-Control-Request-Method", "PUT"}, answer{
			403,
			map[string][]string{"Vary": byPreflight},
			"the origin \"http://127.0.0.1:5173\" is not allowed\n",
		}},
		"preflight of a method": {named, "OPTIONS", page, []string{"Access-Control-Request-Method", "put"}, answer{
			403,
			map[string][]string{"Vary": byPreflight},
			"the method \"put\" is not allowed\n",
		}},
		"preflight of a header": {named, "OPTIONS", page, []string{"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "x-token, x-other"}, answer{
			403,
			map[string][]string{"Vary": byPreflight},
			"the header \"x-other\" is not allowed\n",
		}},
		"preflight of any header": {Policy{Origins: []string{Any}, Headers: []string{Any}}, "OPTIONS", page, []string{"Access-Control-Request-Method", "GET", "Access-Control-Request-Headers", "x-one,, x two,x-three"}, answer{204, map[string][]string{
			"Vary": byPreflight[1:], "Access-Control-Allow-Origin": {Any}, "Access-Control-Allow-Methods": {"GET, HEAD, POST"},
			"Access-Control-Allow-Headers": {"x-one, x-three"},
		}, ""}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := c.policy.Validate(); err != nil {
				t.Fatal(err)
			}
			got := ask(t, c.policy.Handler(served), c.method, c.origin, c.more...)
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(answer{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestHosts(t *testing.T) {
	hosts := Hosts{"dev.example"}
	for host, want := range map[string]bool{
		"localhost": true, "localhost:8080": true, "LOCALHOST.": true, "app.localhost:1": true, "127.0.0.1:8080": true,
		"127.9.9.9": true, "[::1]:8080": true, "[::1]": true, "[::ffff:127.0.0.1]:1": true, "dev.example:8080": true, "DEV.example": true,
		"": false, "evil.example": false, "localhost.evil.example": false, "evillocalhost": false, "127.0.0.1.evil.example": false,
		"192.0.2.1": false, "0.0.0.0:8080": false, "[::]": false,
	} {
		if got := hosts.Allows(host); got != want {
			t.Errorf("the host %q: %v, want %v", host, got, want)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Host = host
		w := httptest.NewRecorder()
		hosts.Handler(served).ServeHTTP(w, r)
		if refused := w.Code == http.StatusMisdirectedRequest; refused == want {
			t.Errorf("the host %q is answered %d", host, w.Code)
		}
	}
}

func FuzzParseOrigin(f *testing.F) {
	for _, text := range []string{"http://localhost:5173", "https://[::1]", "null", "http://a:0", "http://\u212a"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		origin, err := ParseOrigin(text)
		if err != nil {
			return
		}
		if again, err := ParseOrigin(origin); err != nil || again != origin {
			t.Errorf("%q is %q, which is %q, %v", text, origin, again, err)
		}
	})
}
