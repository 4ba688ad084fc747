package webserver

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// requestsKey is the key of a connection's number of requests in its context.
type requestsKey struct{}

// handler answers:
//
//	/            a page
//	/notes       a resource with all methods (see notes.go)
//	/file        FileBytes that do not change, whole or in ranges
//	/bytes?n=    so many bytes in chunks, with their digest as a trailer (RFC 9530)
//	/sum         what a body came to, as a Sum
//	/refuse      413, without reading the body
//	/text        a text, by gzip where that is accepted
//	/events      events, one by one (see stream.go)
//	/socket      WebSocket: each message comes back
//	/silent      nothing, until the client gives up
//	/seen        what the server sees of a request, as a Seen
//	/count       how often it was asked for, which no cache may store
func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", page)
	mux.HandleFunc("GET /file", file)
	mux.HandleFunc("GET /bytes", sendBytes)
	mux.HandleFunc("/sum", s.sum)
	mux.HandleFunc("/refuse", refuse)
	mux.HandleFunc("GET /text", text)
	mux.HandleFunc("GET /silent", s.silent)
	mux.HandleFunc("GET /seen", seen)
	mux.HandleFunc("GET /count", s.count)
	s.notes.handle(mux)
	s.handleStreams(mux)
	var handler http.Handler = mux
	if s.config.Wrap != nil {
		handler = s.config.Wrap(handler)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.limit(w, r)
		handler.ServeHTTP(w, r)
	})
}

// limit applies the limits of a connection.
func (s *Server) limit(w http.ResponseWriter, r *http.Request) {
	requests, _ := r.Context().Value(requestsKey{}).(*atomic.Int64)
	if requests != nil && s.config.MaxRequests > 0 && requests.Add(1) >= int64(s.config.MaxRequests) {
		w.Header().Set("Connection", "close")
	}
	if s.config.BodyTimeout > 0 {
		// Only hijacked connections refuse it.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.config.BodyTimeout))
	}
}

// Page is what / answers.
const Page = "<!doctype html><title>loopcheck</title><p>This server is of a run of loopcheck, and ends with it.\n"

func page(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = io.WriteString(w, Page)
}

// FileBytes is the size of /file, FileTag its entity tag.
const (
	FileBytes = 100_000
	FileTag   = `"file-1"`
)

// FileModified is when it was last modified.
var FileModified = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// content is made once, when it is first asked for.
var content = sync.OnceValue(func() string { return string(Pattern(FileBytes)) })

func file(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("ETag", FileTag)
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", FileModified, strings.NewReader(content()))
}

// Pattern is bytes that do not repeat, the same each time: what begins all that this
// server sends by number.
func Pattern(n int) []byte {
	bytes := make([]byte, n)
	_, _ = pattern().Read(bytes) // it never fails
	return bytes
}

func pattern() *rand.ChaCha8 {
	return rand.NewChaCha8([32]byte([]byte("loopcheck's bytes, again and so!")))
}

// Digest is the value of a Content-Digest field for a SHA-256 sum (RFC 9530 2).
func Digest(sum []byte) string {
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum) + ":"
}

// mostBytes bounds what one request may ask for.
const mostBytes = 1 << 30

func sendBytes(w http.ResponseWriter, r *http.Request) {
	n, err := strconv.ParseInt(r.FormValue("n"), 10, 64)
	if err != nil || n < 0 || n > mostBytes {
		http.Error(w, "n is to be a number of bytes, up to 1 GiB", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Trailer", "Content-Digest")
	// What is flushed first has no length, so that it comes in chunks.
	_ = http.NewResponseController(w).Flush()
	sum := sha256.New()
	if _, err := io.CopyN(io.MultiWriter(w, sum), pattern(), n); err != nil {
		return // the client has gone
	}
	w.Header().Set("Content-Digest", Digest(sum.Sum(nil)))
}

// Sum is what /sum says of a body.
type Sum struct {
	Bytes  int64  `json:"bytes"`
	Digest string `json:"digest"`
	// Chunked says that it came in the chunked transfer coding.
	Chunked bool `json:"chunked"`
	// Trailer is the Content-Digest that came after the body.
	Trailer string `json:"trailer"`
	Method  string `json:"method"`
}

func (s *Server) sum(w http.ResponseWriter, r *http.Request) {
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		// What comes late belongs to no request (RFC 9110 15.5.9).
		w.Header().Set("Connection", "close")
		http.Error(w, "the body did not come in time", http.StatusRequestTimeout)
	case err != nil:
		http.Error(w, "the body cannot be read: "+err.Error(), http.StatusBadRequest)
	default:
		chunked := len(r.TransferEncoding) == 1 && r.TransferEncoding[0] == "chunked"
		answer(w, http.StatusOK, Sum{n, Digest(sum.Sum(nil)), chunked, r.Trailer.Get("Content-Digest"), r.Method})
	}
}

func refuse(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Connection", "close")
	http.Error(w, "no body is taken here", http.StatusRequestEntityTooLarge)
}

// Text is what /text answers. It is long enough to be worth compressing.
var Text = strings.Repeat("Loopback is where services of one machine meet.\n", 400)

func text(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Vary", "Accept-Encoding")
	if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		_, _ = io.WriteString(w, Text)
		return
	}
	w.Header().Set("Content-Encoding", "gzip")
	packed := gzip.NewWriter(w)
	_, _ = io.WriteString(packed, Text)
	_ = packed.Close() // it fails as the write did: the client has gone
}

func (s *Server) silent(_ http.ResponseWriter, r *http.Request) {
	tell(s.waiting)
	<-r.Context().Done()
	if s.ended.Err() == nil {
		tell(s.abandoned)
	}
}

// Seen is what a server sees of a request.
type Seen struct {
	Version string      `json:"version"`
	Method  string      `json:"method"`
	Host    string      `json:"host"`
	Remote  string      `json:"remote"`
	Header  http.Header `json:"header"`
}

func seen(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, Seen{r.Proto, r.Method, r.Host, r.RemoteAddr, r.Header})
}

func (s *Server) count(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	answer(w, http.StatusOK, s.counted.Add(1))
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, status int, value any) {
	text, err := json.Marshal(value)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text)
}
