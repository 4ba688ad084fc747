package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"runtime"
	"syscall"
)

// abstractSockets says that unix sockets need no file (unix(7)).
const abstractSockets = runtime.GOOS == "linux"

// sinkBytes is how much of a stream is read at a time: what a write holds by default,
// so that it is still in the cache of the processor.
const sinkBytes = 128 << 10

// listen starts to serve what is ordered and returns where.
func (s *server) listen() (hello, error) {
	if s.order.Transport == UDP || s.order.Transport == UDP6 {
		return s.listenDatagrams()
	}
	var h hello
	var secure *tls.Config
	if s.order.Transport == TLS {
		var err error
		if secure, h.Certificate, err = selfSigned(); err != nil {
			return h, fmt.Errorf("certificate: %w", err)
		}
	}
	for range s.order.Listeners {
		l, err := s.listener()
		if err != nil {
			return h, err
		}
		h.Addresses = append(h.Addresses, l.Addr().String())
		if secure != nil {
			l = tls.NewListener(l, secure)
		}
		if s.order.Transport == HTTP {
			go func() { s.fail((&http.Server{Handler: s.httpHandler()}).Serve(l)) }()
		} else {
			go s.accept(l)
		}
	}
	return h, nil
}

// serverAddress is an address of the machine's own with a port that is free.
func serverAddress(transport string) netip.AddrPort {
	if transport == TCP6 || transport == UDP6 {
		return netip.AddrPortFrom(netip.IPv6Loopback(), 0)
	}
	return netip.AddrPortFrom(loopback, 0)
}

func (s *server) listener() (net.Listener, error) {
	if s.order.Transport == Unix {
		address := &net.UnixAddr{Net: "unix"} // the kernel finds a name
		if s.order.Dir != "" {
			address.Name = filepath.Join(s.order.Dir, "socket")
		}
		return net.ListenUnix("unix", address)
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // Go's default is a listener of another protocol
	return config.Listen(context.Background(), network(s.order.Transport), serverAddress(s.order.Transport).String())
}

// accept serves each connection on a goroutine of its own. What becomes of one is
// for its client to notice.
func (s *server) accept(l net.Listener) {
	serve := s.echo
	switch s.order.Op {
	case Connect:
		serve = s.greetAlone
	case Stream:
		serve = s.sink
	}
	for {
		conn, err := l.Accept()
		if errors.Is(err, syscall.ECONNABORTED) {
			continue
		}
		if err != nil {
			s.fail(fmt.Errorf("accepting on %v: %w", l.Addr(), err))
			return
		}
		go func() {
			// A client must notice the end at once, not by silence.
			defer conn.Close()
			serve(conn)
		}()
	}
}

// echo answers each message of the known size until the peer is done.
func (s *server) echo(conn net.Conn) {
	message := make([]byte, s.order.SizeBytes)
	for k := 0; ; k++ {
		s.look(k)
		if _, err := io.ReadFull(conn, message); err != nil {
			return
		}
		if _, err := conn.Write(message); err != nil {
			return
		}
	}
}

// sink counts what comes in.
func (s *server) sink(conn net.Conn) {
	room := make([]byte, sinkBytes)
	for k := 0; ; k++ {
		s.look(k)
		n, err := conn.Read(room)
		s.inbox.add(n)
		if err != nil {
			return
		}
	}
}

// greetAlone tells the client that its connection was accepted, and waits for its
// end.
func (s *server) greetAlone(conn net.Conn) {
	s.look(0)
	if _, err := conn.Write([]byte{1}); err == nil {
		_, _ = io.Copy(io.Discard, conn)
	}
}

func (s *server) listenDatagrams() (hello, error) {
	conn, err := net.ListenUDP(network(s.order.Transport), net.UDPAddrFromAddrPort(serverAddress(s.order.Transport)))
	if err != nil {
		return hello{}, err
	}
	go func() { s.fail(s.echoDatagrams(conn)) }()
	return hello{Addresses: []string{conn.LocalAddr().String()}}, nil
}

// echoDatagrams answers every datagram.
func (s *server) echoDatagrams(conn *net.UDPConn) error {
	message := make([]byte, s.order.SizeBytes+1)
	for k := 0; ; k++ {
		s.look(k)
		n, from, err := conn.ReadFromUDPAddrPort(message)
		if errors.Is(err, syscall.ECONNRESET) { // Windows: an answer met a closed socket
			continue
		}
		if err == nil {
			_, err = conn.WriteToUDPAddrPort(message[:n], from)
		}
		if err != nil {
			return err
		}
	}
}
