// Package mock answers HTTP requests as a file of routes says: with a status,
// headers and a body of choice, late, slowly, or not at all. It stands in for a
// server that a program talks to, and for what goes wrong with one.
//
// A Handler is safe for concurrent use.
package mock

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"
)

// File is what a file of routes says.
type File struct {
	// Path is the file it was read from.
	Path string
	// Seed makes what is random come out the same each time; nil for another each
	// time.
	Seed   *uint64
	Routes []Route
}

// Route is what is answered to some requests.
type Route struct {
	// Pattern is that of http.ServeMux, such as "GET /users/{id}".
	Pattern string
	// Line is where the route stands in the file.
	Line int
	// Answers are given in turn, one a request; the last again and again, unless
	// Cycle begins anew.
	Answers []Answer
	Cycle   bool
}

// Answer is one of a route's.
type Answer struct {
	Status  int
	headers []header
	body    body // nil for none
	// Delay passes before the answer begins.
	Delay Delay
	// RateBytesPerSecond bounds how fast the body is sent; 0 for no bound.
	RateBytesPerSecond int64
	// Fault is met by Share of the requests, from 0 to 1; the others are answered.
	Fault Fault
	Share float64
}

// Fault is what goes wrong in the place of an answer.
type Fault string

const (
	// NoFault is an answer as it should be.
	NoFault Fault = ""
	// Reset ends the connection by RST (RFC 9293 3.10.7.4) before anything is
	// answered.
	Reset Fault = "reset"
	// Close ends the connection by FIN before anything is answered. Over HTTP/2 it
	// is the stream that ends, by RST_STREAM (RFC 9113 6.4), as it does for the
	// next two.
	Close Fault = "close"
	// CloseAfterHeaders ends it when the headers have been sent, which promise a
	// body where there is one.
	CloseAfterHeaders Fault = "close-after-headers"
	// Truncate ends it in the middle of the body.
	Truncate Fault = "truncate"
	// Hang never answers; the connection stays.
	Hang Fault = "hang"
)

// faults are those that a file may name.
var faults = []Fault{Reset, Close, CloseAfterHeaders, Truncate, Hang}

// Options says how a Handler works.
type Options struct {
	// MaxBodyBytes bounds what a request may carry.
	MaxBodyBytes int64
	// Stop ends the requests that are never answered.
	Stop <-chan struct{}
}

// Handler answers by a file.
type Handler struct {
	mux     *http.ServeMux
	options Options
	folder  *os.Root
	methods []string // that patterns name
}

// NewHandler returns what answers by the file, from its first answers on. Bodies in
// files are read from the folder.
func NewHandler(f *File, folder *os.Root, o Options) *Handler {
	seed := cmp.Or(f.Seed, new(rand.Uint64()))
	h := &Handler{mux: http.NewServeMux(), options: o, folder: folder}
	for i, r := range f.Routes {
		if method, _, _ := split(r.Pattern); method != "" && !slices.Contains(h.methods, method) {
			h.methods = append(h.methods, method)
		}
		h.mux.Handle(r.Pattern, &endpoint{Route: r, handler: h, random: rand.New(rand.NewPCG(*seed, uint64(i)))})
	}
	return h
}

// Knows says whether a route answers the request.
func (h *Handler) Knows(r *http.Request) bool {
	_, pattern := h.mux.Handler(r)
	return pattern != ""
}

// KnowsPath says whether a route answers the request, or one that has another method.
func (h *Handler) KnowsPath(r *http.Request) bool {
	other := *r
	return h.Knows(r) || slices.ContainsFunc(h.methods, func(method string) bool {
		other.Method = method
		return h.Knows(&other)
	})
}

func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// endpoint is a route at work.
type endpoint struct {
	Route
	handler *Handler

	mu     sync.Mutex // of what follows
	random *rand.Rand
	count  int
}

// turn is what one request is given.
type turn struct {
	Answer
	count int // of the requests to the route, from 1
	delay time.Duration
	fault Fault
}

// next draws as much for every request, so that what one answer says does not
// change what is drawn for another.
func (e *endpoint) next() turn {
	e.mu.Lock()
	defer e.mu.Unlock()
	which := min(e.count, len(e.Answers)-1)
	if e.Cycle {
		which = e.count % len(e.Answers)
	}
	e.count++
	t := turn{Answer: e.Answers[which], count: e.count}
	fate, delay := e.random.Float64(), e.random.Float64()
	if fate < t.Share {
		t.fault = t.Fault
	}
	t.delay = t.Delay.at(delay)
	return t
}
