package serve

import (
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits bound what clients may take.
type Limits struct {
	// Connections is how many are served at once; more wait to be accepted.
	Connections int
	// HeaderBytes and BodyBytes bound a request.
	HeaderBytes int
	BodyBytes   int64
	// HeaderTime and BodyTime are how long its headers and its body may take to
	// come; IdleTime is how long a connection may wait for the next one.
	HeaderTime, BodyTime, IdleTime time.Duration
	// StallTime is how long a client may take to read a part of at most 256 KiB.
	StallTime time.Duration
	// DrainTime is how long requests may take to end once the server is to stop.
	DrainTime time.Duration
}

// DefaultLimits are far above what a person or a test needs, and far below what would
// hurt the machine.
var DefaultLimits = Limits{
	Connections: 1000,
	HeaderBytes: 64 << 10,
	BodyBytes:   10 << 20,
	HeaderTime:  10 * time.Second,
	BodyTime:    time.Minute,
	IdleTime:    2 * time.Minute,
	StallTime:   30 * time.Second,
	DrainTime:   drainTime,
}

// partBytes is what a client has to read within the stall time. Less would cost the
// sender more system calls.
const partBytes = 256 << 10

// pool keeps the connections of all listeners.
type pool struct {
	limits   Limits
	places   chan struct{}
	mu       sync.Mutex
	unused   map[net.Conn]struct{} // no request has come over these
	draining bool
}

func newPool(l Limits) *pool {
	return &pool{limits: l, places: make(chan struct{}, l.Connections), unused: map[net.Conn]struct{}{}}
}

// drain closes what was opened ahead and not used, as browsers do, for which
// http.Server.Shutdown would wait.
func (p *pool) drain() {
	p.mu.Lock()
	p.draining = true
	unused := p.unused
	p.unused = map[net.Conn]struct{}{}
	p.mu.Unlock()
	for c := range unused {
		_ = c.Close()
	}
}

// track is http.Server.ConnState.
func (p *pool) track(c net.Conn, state http.ConnState) {
	p.mu.Lock()
	if state == http.StateNew {
		p.unused[c] = struct{}{}
	} else {
		delete(p.unused, c)
	}
	late := p.draining && state == http.StateNew
	p.mu.Unlock()
	if late {
		_ = c.Close()
	}
}

// limited is a listener whose connections have a place in the pool.
// golang.org/x/net/netutil has the same, but hides from net/http that a connection
// can send files by sendfile(2).
type limited struct {
	*net.TCPListener
	pool  *pool
	done  chan struct{}
	close func() error
}

func newLimited(l *net.TCPListener, p *pool) *limited {
	done := make(chan struct{})
	return &limited{l, p, done, sync.OnceValue(func() error { close(done); return l.Close() })}
}

func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.pool.places <- struct{}{}:
	case <-l.done:
		return nil, net.ErrClosed
	}
	tcp, err := l.AcceptTCP()
	if err != nil {
		<-l.pool.places
		return nil, err
	}
	c := &conn{TCPConn: tcp, pool: l.pool}
	c.close = sync.OnceValue(c.leave)
	return c, nil
}

func (l *limited) Close() error { return l.close() }

// conn gives up on a client that does not read.
type conn struct {
	*net.TCPConn
	pool  *pool
	close func() error
}

func (c *conn) Write(b []byte) (written int, err error) {
	for len(b) > 0 && err == nil {
		if err := c.hurry(); err != nil {
			return written, err
		}
		var n int
		n, err = c.TCPConn.Write(b[:min(len(b), partBytes)])
		written += n
		b = b[n:]
	}
	return written, err
}

func (c *conn) hurry() error {
	return c.SetWriteDeadline(time.Now().Add(c.pool.limits.StallTime))
}

// ReadFrom is what io.Copy calls, in parts, so that the deadline can be set anew.
func (c *conn) ReadFrom(r io.Reader) (written int64, err error) {
	// net sends a file by sendfile(2) where it is behind at most one LimitedReader.
	limit, isLimited := r.(*io.LimitedReader)
	for {
		part := &io.LimitedReader{R: r, N: partBytes}
		if isLimited {
			part = &io.LimitedReader{R: limit.R, N: min(limit.N, partBytes)}
		}
		asked := part.N
		if err := c.hurry(); err != nil {
			return written, err
		}
		n, err := c.TCPConn.ReadFrom(part)
		written += n
		if isLimited {
			limit.N -= n
		}
		if err != nil || n < asked || n == 0 {
			return written, err
		}
	}
}

func (c *conn) Close() error { return c.close() }

func (c *conn) leave() error {
	err := c.TCPConn.Close()
	<-c.pool.places
	return err
}

// reset ends the connection by RST.
func (c *conn) reset() {
	_ = c.SetLinger(0)
	_ = c.Close()
}
