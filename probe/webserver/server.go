// Package webserver is the web server of a run: a small API in memory, files with
// ranges, bodies of any size with their checksums, streams of events, WebSocket, over
// HTTP/1.1, HTTP/2 and HTTP/3, with limits that can be set as low as a check needs.
// It listens on loopback addresses alone and ends with its context.
package webserver

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"
)

// Port is the one that a run's server has where it is free. IANA has assigned it to
// nobody: it is dynamic (RFC 6335 6).
const Port = 62893

// Config is what a server is like. The zero value serves HTTP/1.1 on a free port of
// 127.0.0.1.
type Config struct {
	// At is where it listens: a loopback address, with port 0 for a free one.
	At netip.AddrPort
	// TLS is how it serves https; nil serves http. See Authority.Serve.
	TLS *tls.Config
	// HTTP2 is served beside HTTP/1.1: by ALPN over TLS, and to prior knowledge
	// without.
	HTTP2 bool
	// HTTP3 is served on UDP in place of TCP, and needs TLS.
	HTTP3 bool

	// MaxRequests is how many requests one connection of HTTP/1.1 may carry; 0 is no
	// limit. The last response says so (RFC 9112 9.6).
	MaxRequests int
	// IdleTimeout ends a connection that carries no request for so long; 0 is never.
	IdleTimeout time.Duration
	// CloseIdle ends each connection as soon as its request is answered, without a
	// word, as a server does whose idle timeout runs out at that moment.
	CloseIdle bool
	// HeaderTimeout bounds the header of a request, BodyTimeout its body; 0 is no bound.
	HeaderTimeout, BodyTimeout time.Duration
	// Silent accepts connections and answers nothing.
	Silent bool

	// Wrap and WrapConn, where they are there, stand between the network and what
	// answers: before the handler, and around each connection over TCP. They are for
	// damage.
	Wrap     func(http.Handler) http.Handler
	WrapConn WrapConn
}

// WrapConn makes another connection of one.
type WrapConn func(net.Conn) net.Conn

// wrapped is a listener whose connections are wrapped.
type wrapped struct {
	net.Listener
	wrap WrapConn
}

func (w wrapped) Accept() (net.Conn, error) {
	conn, err := w.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return w.wrap(conn), nil
}

// Server serves until its context ends or Close is called.
type Server struct {
	config  Config
	addr    netip.AddrPort
	stop    func() bool
	cancel  context.CancelFunc
	ended   context.Context
	shut    func() error
	serving sync.WaitGroup

	notes   *notes
	streams streams
	// waiting takes a word of each request that waits, and abandoned of each that was
	// given up meanwhile.
	waiting, abandoned chan struct{}
	// closed takes a word of each connection that has ended.
	closed chan struct{}

	connections, counted atomic.Int64
}

// NotLoopbackError says that a server was to listen on an address that others reach.
type NotLoopbackError struct{ Addr netip.Addr }

func (e *NotLoopbackError) Error() string {
	return fmt.Sprintf("%s is no loopback address: a run's server listens on no other", e.Addr)
}

// manyWords is more than any check waits for: what is not waited for is forgotten.
const manyWords = 1 << 10

// Start starts a server. The error wraps EADDRINUSE where somebody else has the port.
func Start(ctx context.Context, c Config) (*Server, error) {
	if !c.At.IsValid() {
		c.At = netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), c.At.Port())
	}
	if !c.At.Addr().IsLoopback() {
		return nil, &NotLoopbackError{c.At.Addr()}
	}
	if c.HTTP3 && c.TLS == nil {
		return nil, errors.New("HTTP/3 is served over TLS alone (RFC 9114 3.1)")
	}
	s := &Server{
		config: c, notes: newNotes(), streams: streams{byName: map[string]chan struct{}{}},
		waiting: make(chan struct{}, manyWords), abandoned: make(chan struct{}, manyWords), closed: make(chan struct{}, manyWords),
	}
	s.ended, s.cancel = context.WithCancel(context.WithoutCancel(ctx))
	serve := s.listenTCP
	switch {
	case c.HTTP3:
		serve = s.listenQUIC
	case c.Silent:
		serve = s.listenSilent
	}
	if err := serve(ctx); err != nil {
		s.cancel()
		return nil, fmt.Errorf("start a web server: %w", err)
	}
	s.stop = context.AfterFunc(ctx, func() { _ = s.end() })
	return s, nil
}

// listenTCP serves HTTP/1.1 and HTTP/2.
func (s *Server) listenTCP(ctx context.Context) error {
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(s.config.HTTP2 && s.config.TLS != nil)
	protocols.SetUnencryptedHTTP2(s.config.HTTP2 && s.config.TLS == nil)
	server := &http.Server{
		Handler: s.handler(), Protocols: &protocols, TLSConfig: s.config.TLS.Clone(),
		ReadHeaderTimeout: s.config.HeaderTimeout,
		IdleTimeout:       cmp.Or(s.config.IdleTimeout, -1),
		ErrorLog:          log.New(io.Discard, "", 0), // its clients tell what went wrong
		BaseContext:       func(net.Listener) context.Context { return s.ended },
		ConnContext: func(ctx context.Context, _ net.Conn) context.Context {
			return context.WithValue(ctx, requestsKey{}, new(atomic.Int64))
		},
		ConnState: s.connState,
	}
	s.shut = server.Close
	s.serving.Go(func() {
		if s.config.TLS != nil {
			_ = server.ServeTLS(l, "", "") // it ends when it is closed
			return
		}
		_ = server.Serve(l)
	})
	return nil
}

func (s *Server) listen(ctx context.Context) (net.Listener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // Go's default is a listener of another protocol
	l, err := config.Listen(ctx, "tcp", s.config.At.String())
	if err != nil {
		return nil, err
	}
	s.addr = l.Addr().(*net.TCPAddr).AddrPort()
	if s.config.WrapConn != nil {
		l = wrapped{l, s.config.WrapConn}
	}
	return l, nil
}

// connState counts connections and tells of their ends.
func (s *Server) connState(conn net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		s.connections.Add(1)
	case http.StateIdle:
		if s.config.CloseIdle {
			go conn.Close() // before, while or after the next request comes
		}
	case http.StateClosed:
		tell(s.closed)
	}
}

// listenSilent accepts connections and leaves them alone.
func (s *Server) listenSilent(ctx context.Context) error {
	l, err := s.listen(ctx)
	if err != nil {
		return err
	}
	s.shut = l.Close
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return // it is closed
			}
			s.connections.Add(1)
			stop := context.AfterFunc(s.ended, func() { _ = conn.Close() })
			s.serving.Go(func() {
				defer stop()
				defer conn.Close()
				_, _ = io.Copy(io.Discard, conn)
				tell(s.closed)
			})
		}
	})
	return nil
}

// tell leaves a word where there is room.
func tell(words chan struct{}) {
	select {
	case words <- struct{}{}:
	default:
	}
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// URL is that of a path and query, such as "/file", at the server's address.
func (s *Server) URL(path string) string { return s.URLAt(s.addr.Addr().String(), path) }

// URLAt is URL with another name for the host.
func (s *Server) URLAt(host, path string) string {
	at := url.URL{Scheme: "http", Host: net.JoinHostPort(host, fmt.Sprint(s.addr.Port()))}
	if s.config.TLS != nil {
		at.Scheme = "https"
	}
	return at.String() + path
}

// Connections is how many connections over TCP it has been given.
func (s *Server) Connections() int { return int(s.connections.Load()) }

// AwaitClosed waits until a connection has ended since it was asked last.
func (s *Server) AwaitClosed(ctx context.Context) error { return await(ctx, s.closed) }

// AwaitWaiting waits until a request to /silent is there.
func (s *Server) AwaitWaiting(ctx context.Context) error { return await(ctx, s.waiting) }

// AwaitAbandoned waits until a request to /silent was given up by its client.
func (s *Server) AwaitAbandoned(ctx context.Context) error { return await(ctx, s.abandoned) }

func await(ctx context.Context, words chan struct{}) error {
	select {
	case <-words:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close ends the server with its connections, and waits until nothing is accepted
// any more. What answers ends soon after.
func (s *Server) Close() error {
	s.stop()
	err := s.end()
	s.serving.Wait()
	return err
}

func (s *Server) end() error {
	s.cancel()
	if err := s.shut(); !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}
