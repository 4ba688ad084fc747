package mock

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// patience bounds what takes microseconds.
const patience = 10 * time.Second

func handlerOf(t *testing.T, routes string, stop chan struct{}) *Handler {
	t.Helper()
	folder := folderOf(t, "testdata/good")
	f, err := Parse("routes.yaml", []byte("seed: 3\nroutes:\n"+routes), folder)
	if err != nil {
		t.Fatal(err)
	}
	return NewHandler(f, folder, Options{MaxBodyBytes: 64, Stop: stop})
}

func ask(t *testing.T, h http.Handler, method, target, body string) *http.Response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func bodyOf(t *testing.T, r *http.Response) string {
	t.Helper()
	content, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		route, method, target, body string
		status                      int
		kind, want                  string
	}{
		"nothing said":   {"- route: /a", "GET", "/a", "", 200, "", ""},
		"status":         {"- {route: /a, status: 418, text: teapot}", "POST", "/a", "", 418, "text/plain; charset=utf-8", "teapot"},
		"no content":     {"- {route: /a, status: 204}", "DELETE", "/a", "", 204, "", ""},
		"path":           {`- {route: "/u/{id}", text: "<${path.id}>"}`, "GET", "/u/a%2Fb%22", "", 200, "text/plain; charset=utf-8", `<a/b">`},
		"rest of a path": {`- {route: "/u/{rest...}", text: "${path.rest}"}`, "GET", "/u/a/b", "", 200, "text/plain; charset=utf-8", "a/b"},
		"query":          {`- {route: /a, text: "${query.q}${query.none}"}`, "GET", "/a?q=x%20y", "", 200, "text/plain; charset=utf-8", "x y"},
		"body":           {`- {route: /a, text: "${method} ${body} $5 $${x}"}`, "PUT", "/a", "abc", 200, "text/plain; charset=utf-8", "PUT abc $5 ${x}"},
		"too large":      {"- route: /a", "PUT", "/a", strings.Repeat("x", 65), 413, "text/plain; charset=utf-8", "the body of the request is larger than 64 bytes\n"},
		"json":           {`- {route: "/u/{id}", json: {z: "${path.id}", id: "${path.id:number}", more: [1, 2.50, 0x10, true, null, {}, []]}}`, "GET", "/u/7", "", 200, "application/json", `{"z":"7","id":7,"more":[1,2.50,16,true,null,{},[]]}` + "\n"},
		"json no number": {`- {route: "/u/{id}", json: {id: "${path.id:number}"}}`, "GET", `/u/a%22`, "", 200, "application/json", `{"id":"a\""}` + "\n"},
		"json large":     {`- {route: "/u/{id}", json: ["${path.id:number}", 123456789012345678901234567890]}`, "GET", "/u/NaN", "", 200, "application/json", `["NaN",123456789012345678901234567890]` + "\n"},
		"file":           {"- {route: /a, file: data.csv}", "GET", "/a", "", 200, "text/csv; charset=utf-8", "a,b\n1,2\n"},
		"own media type": {`- {route: /a, text: "<p>", headers: {content-type: text/html}}`, "GET", "/a", "", 200, "text/html", "<p>"},
		"slow":           {"- {route: /a, text: abc, rate: 1000000}", "GET", "/a", "", 200, "text/plain; charset=utf-8", "abc"},
		"delayed":        {"- {route: /a, text: abc, delay: 1us-2us}", "GET", "/a", "", 200, "text/plain; charset=utf-8", "abc"},
		"other method":   {"- {route: POST /a}", "GET", "/a", "", 405, "text/plain; charset=utf-8", "Method Not Allowed\n"},
		"nothing there":  {"- {route: /a}", "GET", "/b", "", 404, "text/plain; charset=utf-8", "404 page not found\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got := ask(t, handlerOf(t, c.route, nil), c.method, c.target, c.body)
			if body := bodyOf(t, got); got.StatusCode != c.status || got.Header.Get("Content-Type") != c.kind || body != c.want {
				t.Errorf("%d, %q, %q", got.StatusCode, got.Header.Get("Content-Type"), body)
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	h := handlerOf(t, `- {route: "/{id}", headers: {Location: "/x/${path.id}", Set-Cookie: [a=1, b=2], X-UA: "${header.User-Agent}"}}`, nil)
	got := ask(t, h, "GET", "/a%0d%0aX-Evil:%201", "").Header
	want := http.Header{"Location": {"/x/a\r\nX-Evil: 1"}, "Set-Cookie": {"a=1", "b=2"}, "X-Ua": {""}, "Content-Length": {"0"}}
	if diff := cmp.Diff(want, got); diff != "" { // net/http makes blanks of line ends
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestAnswersInTurn(t *testing.T) {
	answers := `, answers: [{text: a}, {status: 503}, {text: "c${count}"}]}`
	for name, c := range map[string]struct{ route, want string }{
		"the last again": {"- {route: /a" + answers, "a 200, 503, c3 200, c4 200, c5 200"},
		"cycle":          {"- {route: /a, cycle: true" + answers, "a 200, 503, c3 200, a 200, 503"},
	} {
		h := handlerOf(t, c.route, nil)
		var got []string
		for range 5 {
			r := ask(t, h, "GET", "/a", "")
			got = append(got, strings.TrimSpace(fmt.Sprintf("%s %d", bodyOf(t, r), r.StatusCode)))
		}
		if text := strings.Join(got, ", "); text != c.want {
			t.Errorf("%s: %s, want %s", name, text, c.want)
		}
	}
}

func TestKnowsPath(t *testing.T) {
	h := handlerOf(t, "- route: POST /a\n- route: GET /b", nil)
	for target, want := range map[string][2]bool{"GET /a": {false, true}, "GET /b": {true, true}, "HEAD /b": {true, true}, "GET /c": {false, false}} {
		method, path, _ := strings.Cut(target, " ")
		r := httptest.NewRequest(method, path, nil)
		if got := [2]bool{h.Knows(r), h.KnowsPath(r)}; got != want {
			t.Errorf("%s: %v, want %v", target, got, want)
		}
	}
}

// draws are the faults and delays of the first requests to a route.
func draws(t *testing.T, route string, count int) (hit []bool, delays []time.Duration) {
	t.Helper()
	folder := folderOf(t, "testdata/good")
	f, err := Parse("routes.yaml", []byte("seed: 3\nroutes:\n"+route), folder)
	if err != nil {
		t.Fatal(err)
	}
	h := NewHandler(f, folder, Options{})
	handler, _ := h.mux.Handler(httptest.NewRequest("GET", "/a", nil))
	for range count {
		next := handler.(*endpoint).next()
		hit, delays = append(hit, next.fault != NoFault), append(delays, next.delay)
	}
	return hit, delays
}

func TestASeedMakesItTheSame(t *testing.T) {
	const route = "- {route: /a, fault: reset, share: 0.25, delay: 1ms-9ms}"
	const count = 4000
	hit, delays := draws(t, route, count)
	again, delaysAgain := draws(t, route, count)
	if !cmp.Equal(hit, again) || !cmp.Equal(delays, delaysAgain) {
		t.Error("two runs with one seed differ")
	}
	if other, _ := draws(t, "- {route: /a, fault: reset, share: 0.25}", count); !cmp.Equal(hit, other) {
		t.Error("a delay changes which requests meet the fault")
	}
	faults := 0
	for _, h := range hit {
		if h {
			faults++
		}
	}
	if faults < count/5 || faults > count*3/10 { // ±7 standard deviations
		t.Errorf("%d of %d requests meet a fault of share 0.25", faults, count)
	}
}

func TestDelays(t *testing.T) {
	for name, c := range map[string]struct {
		Delay
		u    float64
		want time.Duration
	}{
		"none":                   {Delay{}, 0.7, 0},
		"fixed":                  {Delay{From: 5, To: 5}, 0.7, 5},
		"the least of a range":   {Delay{From: 10, To: 20}, 0, 10},
		"the middle of a range":  {Delay{From: 10, To: 20}, 0.5, 15},
		"median":                 {Delay{P50: 20 * time.Millisecond, P99: 200 * time.Millisecond}, 0.5, 20 * time.Millisecond},
		"99th percentile":        {Delay{P50: 20 * time.Millisecond, P99: 200 * time.Millisecond}, 0.99, 200 * time.Millisecond},
		"percentiles that agree": {Delay{P50: 7, P99: 7}, 0.3, 7},
		"at most an hour":        {Delay{P50: time.Minute, P99: time.Hour}, 1 - 1e-16, time.Hour},
	} {
		if got := c.Delay.at(c.u); (got - c.want).Abs() > time.Microsecond {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}

// served starts a server whose connections can be reset.
func served(t *testing.T, h http.Handler) string {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		return WithReset(ctx, func() {
			_ = c.(*net.TCPConn).SetLinger(0)
			_ = c.Close()
		})
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

// What a client sees on the wire of each fault.
func TestFaults(t *testing.T) {
	const headers = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nContent-Type: text/plain; charset=utf-8\r\nDate: D\r\n\r\n"
	for fault, c := range map[Fault]struct {
		want string
		err  error
	}{
		Reset:             {"", syscall.ECONNRESET},
		Close:             {"", nil},
		CloseAfterHeaders: {headers, nil},
		Truncate:          {headers + "01234", nil},
	} {
		t.Run(string(fault), func(t *testing.T) {
			at := served(t, handlerOf(t, "- {route: /a, text: '0123456789', fault: "+string(fault)+"}", nil))
			conn, err := net.DialTimeout("tcp", at, patience)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = conn.Close() }()
			_ = conn.SetDeadline(time.Now().Add(patience))
			if _, err := io.WriteString(conn, "POST /a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc"); err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(conn)
			if !errors.Is(err, c.err) {
				t.Errorf("it ends with %v, want %v", err, c.err)
			}
			before, after, hasDate := strings.Cut(string(got), "Date: ")
			if hasDate {
				_, rest, _ := strings.Cut(after, "\r\n")
				before += "Date: D\r\n" + rest
			}
			if before != c.want {
				t.Errorf("got %q, want %q", before, c.want)
			}
		})
	}
}

// A request that is never answered ends when the client goes, and when the server
// stops.
func TestHang(t *testing.T) {
	stop := make(chan struct{})
	h := handlerOf(t, "- {route: /a, fault: hang}", stop)
	ended := make(chan struct{}, 2)
	at := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() { ended <- struct{}{} }()
		h.ServeHTTP(w, r)
	}))
	for _, end := range []func(net.Conn){func(c net.Conn) { _ = c.Close() }, func(net.Conn) { close(stop) }} {
		conn, err := net.DialTimeout("tcp", at, patience)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		_, _ = io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
		end(conn)
		select {
		case <-ended:
		case <-time.After(patience):
			t.Fatal("the request goes on")
		}
	}
}

// A body that is sent slowly ends when the client goes.
func TestSlowBodyEndsWithItsClient(t *testing.T) {
	h := handlerOf(t, "- {route: /a, file: data.csv, rate: 1}", nil)
	ended := make(chan struct{})
	at := served(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		h.ServeHTTP(w, r)
	}))
	conn, err := net.DialTimeout("tcp", at, patience)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, "GET /a HTTP/1.1\r\nHost: localhost\r\n\r\n")
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || response.ContentLength != 8 {
		t.Fatalf("%v, %v", response, err)
	}
	_ = conn.Close()
	select {
	case <-ended:
	case <-time.After(patience):
		t.Fatal("it goes on without a client")
	}
}
