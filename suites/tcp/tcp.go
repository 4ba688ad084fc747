// Package tcp holds the checks of TCP over loopback: who is let in, what
// arrives, and how a connection ends.
package tcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("tcp", "TCP: connect, transfer, close", 20)

const (
	// patience bounds a handful of segments. They take microseconds; the rest
	// is for one lost SYN, which is sent again after a second (RFC 6298), and
	// for a machine whose processors are busy elsewhere.
	patience = 3 * time.Second
	// transferPatience bounds a transfer of megabytes, or a thousand
	// connections. It ends before the check's own deadline, so that the
	// failure tells how far it came.
	transferPatience = 8 * time.Second
)

// open returns a fresh socket that is closed with the spec.
func open() *sock.Socket {
	GinkgoHelper()
	s, err := sock.New(sock.TCP, sock.IPv4)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(s.Close)
	return s
}

// bound returns a socket on a port of 127.0.0.1 that was free, one end of what
// the spec sends.
func bound() (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	s := open()
	Expect(s.Bind(sock.IPv4.Loopback(0))).To(Succeed())
	addr, err := s.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	flowsToFreePort()
	return s, addr
}

// flowsToFreePort records that the spec connects to a port of 127.0.0.1 that
// was free.
func flowsToFreePort() { spec.Flow("tcp", sock.IPv4.Loopback(0)) }

func listening(backlog int) (*sock.Socket, netip.AddrPort) {
	GinkgoHelper()
	s, addr := bound()
	Expect(s.Listen(backlog)).To(Succeed())
	return s, addr
}

// joined returns the two ends of a new connection.
func joined(ctx context.Context) (client, server *sock.Socket) {
	GinkgoHelper()
	client = open()
	flowsToFreePort()
	return client, join(ctx, client)
}

// join connects the client to a listener of its own and returns the other end.
func join(ctx context.Context, client *sock.Socket) (server *sock.Socket) {
	GinkgoHelper()
	server, err := accepted(ctx, client)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Close)
	return server
}

// accepted is join for use outside a spec; the caller closes what it returns.
func accepted(ctx context.Context, client *sock.Socket) (*sock.Socket, error) {
	listener, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	if err := errors.Join(listener.Bind(sock.IPv4.Loopback(0)), listener.Listen(8)); err != nil {
		return nil, err
	}
	addr, err := listener.LocalAddr()
	if err != nil {
		return nil, err
	}
	if err := client.Connect(ctx, addr); err != nil {
		return nil, err
	}
	clientAddr, err := client.LocalAddr()
	if err != nil {
		return nil, err
	}
	return acceptFrom(ctx, listener, clientAddr)
}

// acceptFrom accepts the connection of one client.
func acceptFrom(ctx context.Context, listener *sock.Socket, client netip.AddrPort) (*sock.Socket, error) {
	for {
		server, err := listener.Accept(ctx)
		if err != nil {
			return nil, err
		}
		// Somebody who scans the machine's ports may have come first.
		if peer, err := server.PeerAddr(); err == nil && peer == client {
			return server, nil
		}
		server.Close()
	}
}

// listenConn returns a listener of Go's net package on 127.0.0.1.
func listenConn() *net.TCPListener {
	GinkgoHelper()
	listener, err := net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(sock.IPv4.Loopback(0)))
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(listener.Close)
	flowsToFreePort()
	return listener
}

// joinedConns returns the two ends of a new connection as Go's net package has
// them. Both end with the context.
func joinedConns(ctx context.Context, listener *net.TCPListener) (client, server *net.TCPConn) {
	GinkgoHelper()
	client, server, err := dialAccepted(ctx, listener)
	Expect(err).NotTo(HaveOccurred())
	return client, server
}

// dialAccepted is joinedConns for specs that look at the error themselves.
func dialAccepted(ctx context.Context, listener *net.TCPListener) (client, server *net.TCPConn, err error) {
	if deadline, ok := ctx.Deadline(); ok {
		if err := listener.SetDeadline(deadline); err != nil {
			return nil, nil, err
		}
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp4", listener.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	client = conn.(*net.TCPConn)
	endWith(ctx, client)
	for {
		server, err = listener.AcceptTCP()
		if err != nil {
			return nil, nil, fmt.Errorf("the connection from %v: %w", client.LocalAddr(), err)
		}
		endWith(ctx, server)
		if server.RemoteAddr().String() == client.LocalAddr().String() {
			return client, server, nil
		}
	}
}

// endWith closes the connection with the spec, and makes what waits on it fail
// when the context ends first.
func endWith(ctx context.Context, conn *net.TCPConn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
	DeferCleanup(func() {
		stop()
		// The spec may have closed it already.
		_ = conn.Close()
	})
}
