package serve

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Entry is a request that has ended.
type Entry struct {
	Time time.Time `json:"time"` // of its beginning
	// Remote is the address of the client.
	Remote string `json:"remote"`
	Method string `json:"method"`
	// URI is what the client asked for, without the token.
	URI   string `json:"uri"`
	Proto string `json:"proto"`
	Host  string `json:"host"`
	// Status is 0 where nothing was answered.
	Status int `json:"status"`
	// Bytes of the body that were handed to the kernel.
	Bytes    int64         `json:"bytes"`
	Duration time.Duration `json:"duration_ns"`
	// Fault is what went wrong on purpose.
	Fault string `json:"fault,omitempty"`
}

// String is a line such as
//
//	10:52:03.123 127.0.0.1 GET /index.html 200 1234 0.31ms
//
// What the client chose stands in it as it is.
func (e Entry) String() string {
	status := "-"
	if e.Status != 0 {
		status = strconv.Itoa(e.Status)
	}
	line := fmt.Sprintf("%s %s %s %s %s %d %.2fms", e.Time.Format("15:04:05.000"), e.Remote, e.Method, e.URI, status, e.Bytes, float64(e.Duration)/float64(time.Millisecond))
	if e.Fault != "" {
		line += " fault " + e.Fault
	}
	return line
}

// logged counts a request and tells of it when it has ended, however it does.
func (s *Server) logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.active.Add(1)
		defer s.active.Add(-1)
		if s.options.Log == nil {
			next.ServeHTTP(w, r)
			return
		}
		e := Entry{Time: time.Now(), Method: r.Method, URI: r.RequestURI, Proto: r.Proto, Host: r.Host}
		if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
			e.Remote = host
		}
		if path, query, has := strings.Cut(e.URI, "?"); has && s.options.Token != "" {
			e.URI = path + "?" + withoutToken(query, "…")
		}
		rec := &recorder{ResponseWriter: w, entry: &e}
		defer func() {
			e.Duration = time.Since(e.Time)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.options.Log(e)
		}()
		next.ServeHTTP(rec, r)
		if e.Status == 0 {
			e.Status = http.StatusOK // what net/http says where a handler says nothing
		}
	})
}

// recorder sees what is answered.
type recorder struct {
	http.ResponseWriter
	entry *Entry
}

// Unwrap is for http.ResponseController.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// Note is that of mock.Noter.
func (r *recorder) Note(fault string) { r.entry.Fault = fault }

func (r *recorder) WriteHeader(status int) {
	if r.entry.Status == 0 {
		r.entry.Status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	n, err := r.ResponseWriter.Write(b)
	r.count(int64(n))
	return n, err
}

// ReadFrom lets net/http send a file by sendfile(2).
func (r *recorder) ReadFrom(from io.Reader) (int64, error) {
	n, err := io.Copy(r.ResponseWriter, from)
	r.count(n)
	return n, err
}

func (r *recorder) count(n int64) {
	if r.entry.Status == 0 {
		r.entry.Status = http.StatusOK
	}
	r.entry.Bytes += n
}
