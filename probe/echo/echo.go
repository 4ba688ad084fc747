// Package echo serves TCP and UDP echo (RFC 862) on a loopback address, over
// Go's net package, for checks that need a well-behaved peer.
package echo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
)

// streamBuffer is what a connection holds in memory. A thousand of them at
// once stay within a few megabytes.
const streamBuffer = 4 << 10

// datagramBuffer takes the largest UDP datagram of either family.
const datagramBuffer = 1 << 16

// Server is an echo server that runs until its context ends or Close is called.
type Server struct {
	addr     netip.AddrPort
	stop     func() bool
	serving  sync.WaitGroup
	mu       sync.Mutex
	sockets  map[closer]struct{} // nil once shut
	firstErr error
}

type closer interface{ Close() error }

// TCP serves connections on a free port of a loopback address. Each is echoed
// until its peer ends it.
func TCP(ctx context.Context, addr netip.Addr) (*Server, error) {
	return TCPAt(ctx, netip.AddrPortFrom(addr, 0))
}

// TCPAt is TCP on a given port. The error wraps EADDRINUSE where somebody else
// has it.
func TCPAt(ctx context.Context, at netip.AddrPort) (*Server, error) {
	if err := mustBeLoopback(at.Addr()); err != nil {
		return nil, err
	}
	listener, err := net.ListenTCP("tcp", net.TCPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("start a TCP echo server: %w", err)
	}
	s := &Server{addr: listener.Addr().(*net.TCPAddr).AddrPort(), sockets: map[closer]struct{}{}}
	s.start(ctx, listener, func() { s.accept(listener) })
	return s, nil
}

// UDP serves datagrams on a free port of a loopback address. Each is sent back
// whole to where it came from, an empty one too.
func UDP(ctx context.Context, addr netip.Addr) (*Server, error) {
	return UDPAt(ctx, netip.AddrPortFrom(addr, 0))
}

// UDPAt is UDP on a given port. The error wraps EADDRINUSE where somebody else
// has it.
func UDPAt(ctx context.Context, at netip.AddrPort) (*Server, error) {
	if err := mustBeLoopback(at.Addr()); err != nil {
		return nil, err
	}
	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return nil, fmt.Errorf("start a UDP echo server: %w", err)
	}
	s := &Server{addr: conn.LocalAddr().(*net.UDPAddr).AddrPort(), sockets: map[closer]struct{}{}}
	s.start(ctx, conn, func() { s.reflect(conn) })
	return s, nil
}

// Addr is where the server is reached.
func (s *Server) Addr() netip.AddrPort { return s.addr }

// Close ends the server and its connections and returns when nothing of it
// runs any more. The error is the first that kept it from echoing, if any.
func (s *Server) Close() error {
	s.stop()
	s.shut()
	s.serving.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.firstErr
}

func mustBeLoopback(addr netip.Addr) error {
	if !addr.IsLoopback() {
		return fmt.Errorf("start an echo server: %s is not a loopback address", addr)
	}
	return nil
}

func (s *Server) start(ctx context.Context, socket closer, serve func()) {
	s.sockets[socket] = struct{}{}
	s.stop = context.AfterFunc(ctx, s.shut)
	s.serving.Go(serve)
}

// shut closes every socket, which ends every goroutine.
func (s *Server) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for socket := range s.sockets {
		// An error of closing says nothing about the echo.
		_ = socket.Close()
	}
	s.sockets = nil
}

// own takes note of a connection, or refuses it when the server is shut.
func (s *Server) own(conn closer) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sockets == nil {
		return false
	}
	s.sockets[conn] = struct{}{}
	return true
}

func (s *Server) disown(conn closer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sockets, conn)
}

// note keeps the first error that the server did not bring about by closing.
func (s *Server) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.firstErr == nil && s.sockets != nil && !errors.Is(err, net.ErrClosed) {
		s.firstErr = err
	}
}

func (s *Server) accept(listener *net.TCPListener) {
	// Whoever connects when nothing accepts any more shall be told so.
	defer listener.Close()
	for {
		conn, err := listener.AcceptTCP()
		if err != nil {
			s.note(fmt.Errorf("accept on %s: %w", s.addr, err))
			return
		}
		if !s.own(conn) {
			conn.Close()
			return
		}
		s.serving.Go(func() {
			defer s.disown(conn)
			defer conn.Close()
			echoStream(conn)
		})
	}
}

// echoStream ends with the connection; why it ended is for the peer to say.
// It reads and writes by itself because io.Copy would splice through a pipe,
// two more descriptors for each connection.
func echoStream(conn *net.TCPConn) {
	buf := make([]byte, streamBuffer)
	for {
		n, err := conn.Read(buf)
		if n > 0 {
			if _, err := conn.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *Server) reflect(conn *net.UDPConn) {
	defer conn.Close()
	buf := make([]byte, datagramBuffer)
	for {
		n, from, err := conn.ReadFromUDPAddrPort(buf)
		if err != nil {
			s.note(fmt.Errorf("receive on %s: %w", s.addr, err))
			return
		}
		if _, err := conn.WriteToUDPAddrPort(buf[:n], from); err != nil {
			s.note(fmt.Errorf("echo %d bytes to %s: %w", n, from, err))
		}
	}
}
