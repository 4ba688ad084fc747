package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// MaxBodyBytes bounds the body of a response that is kept.
const MaxBodyBytes = 64 << 20

// Response is what a server said to one request.
type Response struct {
	Status int
	// Version is the one that the response was in.
	Version Version
	Header  http.Header
	Trailer http.Header // what came after the body
	Body    []byte
	// RestBytes is how much more of the body there is above MaxBodyBytes, which was not
	// read: Content-Length says so.
	RestBytes int64
	// Chunked says that the body came in the chunked transfer coding (RFC 9112 7.1).
	Chunked bool
	// Decompressed says that the body came compressed by gzip.
	Decompressed bool
	// Continued says that 100 (Continue) came before the response.
	Continued bool
	// TLS is nil where there was none.
	TLS *tls.ConnectionState
	// Local and Remote are the ends of the connection, which is Reused where an
	// earlier request had it.
	Local, Remote netip.AddrPort
	Reused        bool
	Timings       Timings
}

// Timings are how long the steps of one request took. A step that it did not have
// took 0: none but the last two are there where the connection was.
type Timings struct {
	// DNS is the look-up of the name.
	DNS time.Duration `json:"dns_ns"`
	// Connect is the handshake of TCP, to the address that answered.
	Connect time.Duration `json:"connect_ns"`
	// TLS is its handshake; of HTTP/3 that of QUIC, which is both.
	TLS time.Duration `json:"tls_ns"`
	// FirstByte is from having a connection to the first byte of the response.
	FirstByte time.Duration `json:"first_byte_ns"`
	// Total is from the beginning to the last byte of the body.
	Total time.Duration `json:"total_ns"`
}

// Step is a part of a request.
type Step string

const (
	Lookup  Step = "look up the name"
	Connect Step = "connect"
	Secure  Step = "TLS handshake"
	Header  Step = "wait for the header of the response"
	Body    Step = "read the body of the response"
)

// Error says in which step a request failed, and how long it had taken then.
type Error struct {
	Method, URL string
	Step        Step
	After       time.Duration
	Err         error
}

func (e *Error) Error() string {
	return fmt.Sprintf("%s %s: %s, after %v: %v", e.Method, e.URL, e.Step, e.After.Round(time.Microsecond), e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// ErrTooLarge is the error of a body above MaxBodyBytes whose length is not known,
// which may have no end.
var ErrTooLarge = errors.New("the body is too large to be kept")

// Ask sends a request and reads all of the response, by the end of the context. Any
// status is a response: the error is for what is none, and is an *Error. Redirections
// are not followed. Of a body whose length is above MaxBodyBytes that much is read.
func (c *Client) Ask(ctx context.Context, r *http.Request) (*Response, error) {
	return c.ask(ctx, r, keepBody)
}

// keepBody reads a body up to one byte above MaxBodyBytes.
func keepBody(body io.Reader) ([]byte, error) {
	return io.ReadAll(io.LimitReader(body, MaxBodyBytes+1))
}

// dropBody reads a body to its end.
func dropBody(body io.Reader) ([]byte, error) {
	_, err := io.Copy(io.Discard, body)
	return nil, err
}

func (c *Client) ask(ctx context.Context, r *http.Request, read func(io.Reader) ([]byte, error)) (*Response, error) {
	response, seen, err := c.begin(ctx, r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := read(response.Body)
	rest := int64(0)
	if err == nil && len(body) > MaxBodyBytes {
		body = body[:MaxBodyBytes]
		if rest = response.ContentLength - MaxBodyBytes; rest <= 0 {
			err = ErrTooLarge
		}
	}
	if err != nil {
		return nil, &Error{r.Method, r.URL.String(), Body, time.Since(seen.began), reason(ctx, err)}
	}
	out := &Response{
		Status: response.StatusCode, Version: Version(response.Proto),
		Header: response.Header, Trailer: response.Trailer, Body: body, RestBytes: rest,
		Chunked:      slices.Contains(response.TransferEncoding, "chunked"),
		Decompressed: response.Uncompressed,
		TLS:          response.TLS,
	}
	seen.into(out, time.Now())
	return out, nil
}

// begin sends a request and waits for the header of its response.
func (c *Client) begin(ctx context.Context, r *http.Request) (*http.Response, *trace, error) {
	seen := &trace{began: time.Now()}
	response, err := c.transport.RoundTrip(r.WithContext(httptrace.WithClientTrace(ctx, seen.hooks())))
	if err != nil {
		return nil, nil, &Error{r.Method, r.URL.String(), seen.step(), time.Since(seen.began), reason(ctx, err)}
	}
	return response, seen, nil
}

// reason is the cause of a context's end, where that is why.
func reason(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		return fmt.Errorf("%w (%w)", err, cause)
	}
	return err
}

// trace is when the steps of a request were. Its hooks are called from other
// goroutines too, some of which go on when the request is over.
type trace struct {
	began time.Time

	mu                   sync.Mutex
	dnsStart, dnsDone    time.Time
	dialStart, dialDone  time.Time
	tlsStart, tlsDone    time.Time
	connected, firstByte time.Time
	continued            bool
	reused               bool
	local, remote        netip.AddrPort
}

// first notes the moment at which something began.
func (t *trace) first(at *time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if at.IsZero() {
		*at = time.Now()
	}
}

// last notes the moment at which something was done, unless it failed.
func (t *trace) last(at *time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		*at = time.Now()
	}
}

func (t *trace) hooks() *httptrace.ClientTrace {
	return &httptrace.ClientTrace{
		DNSStart:             func(httptrace.DNSStartInfo) { t.first(&t.dnsStart) },
		DNSDone:              func(i httptrace.DNSDoneInfo) { t.last(&t.dnsDone, i.Err) },
		ConnectStart:         func(string, string) { t.first(&t.dialStart) },
		ConnectDone:          func(_, _ string, err error) { t.last(&t.dialDone, err) },
		TLSHandshakeStart:    func() { t.first(&t.tlsStart) },
		TLSHandshakeDone:     func(_ tls.ConnectionState, err error) { t.last(&t.tlsDone, err) },
		GotConn:              t.gotConn,
		GotFirstResponseByte: func() { t.last(&t.firstByte, nil) },
		Got100Continue: func() {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.continued = true
		},
	}
}

func (t *trace) gotConn(info httptrace.GotConnInfo) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.connected, t.reused = time.Now(), info.Reused
	if info.Conn == nil {
		return
	}
	// The address of a packet socket without a peer is not parsed, and is left out.
	if local := info.Conn.LocalAddr(); local != nil {
		t.local, _ = netip.ParseAddrPort(local.String())
	}
	if remote := info.Conn.RemoteAddr(); remote != nil {
		t.remote, _ = netip.ParseAddrPort(remote.String())
	}
}

// step is how far a request came that failed.
func (t *trace) step() Step {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case !t.connected.IsZero():
		return Header
	case !t.tlsStart.IsZero():
		return Secure
	case !t.dnsStart.IsZero() && t.dnsDone.IsZero() && t.dialStart.IsZero():
		return Lookup
	}
	return Connect
}

// into hands on what was seen of a response whose last byte came at a moment.
func (t *trace) into(r *Response, end time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.Local, r.Remote, r.Reused, r.Continued = t.local, t.remote, t.reused, t.continued
	r.Timings = Timings{FirstByte: between(t.connected, t.firstByte), Total: end.Sub(t.began)}
	if !t.reused {
		r.Timings.DNS = between(t.dnsStart, t.dnsDone)
		r.Timings.Connect = between(t.dialStart, t.dialDone)
		r.Timings.TLS = between(t.tlsStart, t.tlsDone)
	}
}

// between is 0 where one of the moments was not.
func between(start, end time.Time) time.Duration {
	if start.IsZero() || end.Before(start) {
		return 0
	}
	return end.Sub(start)
}
