package mock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Noter is a http.ResponseWriter that keeps what was done on purpose, for the log.
type Noter interface{ Note(what string) }

type resetKey struct{}

// WithReset gives the requests of a connection the way to end it by RST.
func WithReset(ctx context.Context, reset func()) context.Context {
	return context.WithValue(ctx, resetKey{}, reset)
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	t := e.next()
	// What is unread when a connection is closed makes the kernel send a RST
	// (RFC 9293 3.10.4), and hides from the server that the client has gone.
	content, err := io.ReadAll(http.MaxBytesReader(w, r.Body, e.handler.options.MaxBodyBytes))
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		http.Error(w, fmt.Sprintf("the body of the request is larger than %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	// The time that a body may take is not that of the answer.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	if !e.pause(r, t.delay) {
		panic(http.ErrAbortHandler)
	}
	note(w, t.fault)
	switch t.fault {
	case Reset:
		if reset, ok := r.Context().Value(resetKey{}).(func()); ok {
			reset()
		}
		panic(http.ErrAbortHandler)
	case Close:
		panic(http.ErrAbortHandler)
	case Hang:
		select {
		case <-r.Context().Done():
		case <-e.handler.options.Stop:
		}
		panic(http.ErrAbortHandler)
	}
	e.answer(w, input{r, content, t.count}, t)
}

func note(w http.ResponseWriter, fault Fault) {
	if noter, ok := w.(Noter); ok && fault != NoFault {
		noter.Note(string(fault))
	}
}

// pause says whether the client is still there after it.
func (e *endpoint) pause(r *http.Request, d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-r.Context().Done():
		return false
	}
}

// shared are headers that an answer adds to: who lets the request in says there what the
// answer depends on, and sets a cookie of its own.
var shared = []string{"Set-Cookie", "Vary"}

// answer sends the answer, as far as its fault lets it.
func (e *endpoint) answer(w http.ResponseWriter, in input, t turn) {
	var content io.ReadCloser = http.NoBody
	var size int64
	h := w.Header()
	if t.body != nil {
		var err error
		if content, size, err = t.body.open(in, e.handler.folder); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", t.body.kind())
	}
	defer func() { _ = content.Close() }()
	own := map[string]bool{}
	for _, each := range t.headers {
		if !own[each.name] && !slices.Contains(shared, each.name) {
			h.Del(each.name)
			own[each.name] = true
		}
		h.Add(each.name, each.value.of(in))
	}
	if t.body != nil || t.fault == NoFault && t.Status != http.StatusNoContent && t.Status != http.StatusNotModified {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
	w.WriteHeader(t.Status)
	sent := size
	switch {
	case t.fault == CloseAfterHeaders || in.request.Method == http.MethodHead:
		sent = 0
	case t.fault == Truncate:
		sent = size / 2
	}
	if t.RateBytesPerSecond > 0 {
		e.sendSlowly(w, in.request, content, sent, t.RateBytesPerSecond)
	} else {
		_, _ = io.CopyN(w, content, sent) // the client may have gone
	}
	if t.fault == CloseAfterHeaders || t.fault == Truncate {
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
}

// slowStep is how often a part of a body is sent that is sent slowly.
const slowStep = 50 * time.Millisecond

// sendSlowly sends so much at a rate in bytes per second, as long as the client is
// there.
func (e *endpoint) sendSlowly(w http.ResponseWriter, r *http.Request, content io.Reader, size, rate int64) {
	controller := http.NewResponseController(w)
	began := time.Now()
	for sent := int64(0); sent < size; {
		// At least a byte, at most what the time since the beginning allows.
		due := int64(time.Since(began).Seconds()*float64(rate)) - sent
		n, err := io.CopyN(w, content, min(max(due, 1), size-sent))
		sent += n
		if err != nil || controller.Flush() != nil || sent == size {
			return
		}
		next := time.Duration(float64(sent+1) / float64(rate) * float64(time.Second))
		if !e.pause(r, max(next-time.Since(began), slowStep)) {
			return
		}
	}
}
