package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"time"
)

const (
	// sequenceBytes is the part of a payload that tells one from another.
	sequenceBytes = 8
	// replyTimeout is when a response counts as lost. Loopback answers within
	// microseconds; a second is longer than a busy scheduler or TCP's first
	// retransmission keep it.
	replyTimeout = time.Second
	// lastLook is how long is waited once more after that timeout. A machine
	// that stood still for a second, as virtual ones do, finds the timer
	// expired before it has run the server.
	lastLook = 250 * time.Millisecond
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// netConn is an engine over Go's net package: a client, and a server on a
// goroutine that echoes.
type netConn struct {
	ctx       context.Context
	transport string
	client    net.Conn
	datagrams bool
	request   []byte
	response  []byte // with room for a datagram that is a byte too long
	timeout   time.Duration

	stopWatch func() bool  // ends the watch over ctx
	server    []io.Closer  // what ends the server
	served    <-chan error // how it ended
}

// openNetConn connects a client to a server of its own on 127.0.0.1.
func openNetConn(ctx context.Context, transport string, size int) (engine, error) {
	if transport == "udp" {
		return openUDP(ctx, size)
	}
	return openTCP(ctx, size)
}

func openTCP(ctx context.Context, size int) (*netConn, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false) // Go's default is a listener of another protocol
	listener, err := config.Listen(ctx, "tcp4", netip.AddrPortFrom(loopback, 0).String())
	if err != nil {
		return nil, fmt.Errorf("tcp server: %w", err)
	}
	defer listener.Close()

	dialer := net.Dialer{Timeout: replyTimeout}
	client, err := dialer.DialContext(ctx, "tcp4", listener.Addr().String())
	if err != nil {
		return nil, fmt.Errorf("tcp client: %w", err)
	}
	conn, err := acceptFrom(listener.(*net.TCPListener), client.LocalAddr())
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("tcp server: accepting on %v: %w", listener.Addr(), err)
	}
	n := newNetConn(ctx, "tcp", client, size)
	n.serve(func() error { return echoStream(conn, size) }, conn)
	return n, nil
}

// acceptFrom accepts the connection of one client, whose handshake is over.
// Others may have found the listener; they are turned away.
func acceptFrom(listener *net.TCPListener, client net.Addr) (net.Conn, error) {
	if err := listener.SetDeadline(time.Now().Add(replyTimeout)); err != nil {
		return nil, err
	}
	for {
		conn, err := listener.Accept()
		if err != nil {
			return nil, err
		}
		if conn.RemoteAddr().String() == client.String() {
			return conn, nil
		}
		conn.Close()
	}
}

// echoStream answers each message of a known size until the peer is done.
func echoStream(conn net.Conn, size int) error {
	// A server that fails must be noticed at once, not by its silence.
	defer conn.Close()
	message := make([]byte, size)
	for {
		if _, err := io.ReadFull(conn, message); err != nil {
			if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("tcp server: %w", err)
		}
		if _, err := conn.Write(message); err != nil {
			if errors.Is(err, net.ErrClosed) {
				return nil
			}
			return fmt.Errorf("tcp server: %w", err)
		}
	}
}

func openUDP(ctx context.Context, size int) (*netConn, error) {
	server, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(loopback, 0)))
	if err != nil {
		return nil, fmt.Errorf("udp server: %w", err)
	}
	client, err := net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr))
	if err != nil {
		server.Close()
		return nil, fmt.Errorf("udp client: %w", err)
	}
	peer := client.LocalAddr().(*net.UDPAddr).AddrPort()
	n := newNetConn(ctx, "udp", client, size)
	n.serve(func() error { return echoDatagrams(server, peer, size) }, server)
	return n, nil
}

// echoDatagrams answers the datagrams of one peer until the socket is closed.
// Other senders may have found the port; they get no answer.
func echoDatagrams(server *net.UDPConn, peer netip.AddrPort, size int) error {
	message := make([]byte, size+1)
	for {
		n, from, err := server.ReadFromUDPAddrPort(message)
		if err == nil && from == peer {
			_, err = server.WriteToUDPAddrPort(message[:n], peer)
		}
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("udp server: %w", err)
		}
	}
}

func newNetConn(ctx context.Context, transport string, client net.Conn, size int) *netConn {
	n := &netConn{
		ctx:       ctx,
		transport: transport,
		client:    client,
		datagrams: transport == "udp",
		request:   make([]byte, size),
		response:  make([]byte, size+1),
		timeout:   replyTimeout,
	}
	// What follows the sequence number is no zero that a fresh buffer would
	// hold as well.
	for i := sequenceBytes; i < size; i++ {
		n.request[i] = byte(i) | 1
	}
	n.stopWatch = context.AfterFunc(ctx, func() { client.SetDeadline(time.Now()) })
	return n
}

// serve runs a server that ends when the closers are closed.
func (n *netConn) serve(server func() error, closers ...io.Closer) {
	served := make(chan error, 1)
	go func() { served <- server() }()
	n.server, n.served = closers, served
}

func (n *netConn) keepWaiting() error {
	return n.waitUntil(time.Now().Add(n.timeout + waitRefresh))
}

func (n *netConn) lookAgain() error {
	return n.waitUntil(time.Now().Add(lastLook))
}

func (n *netConn) waitUntil(deadline time.Time) error {
	if err := n.client.SetDeadline(deadline); err != nil {
		return fmt.Errorf("%s client: %w", n.transport, err)
	}
	// The deadline by which the context ends a read may just have been undone.
	if n.ctx.Err() != nil {
		return context.Cause(n.ctx)
	}
	return nil
}

func (n *netConn) roundTrip(sequence uint64) error {
	binary.BigEndian.PutUint64(n.request, sequence)
	sent, err := n.client.Write(n.request)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if err = n.lookAgain(); err == nil {
			_, err = n.client.Write(n.request[sent:])
		}
	}
	if err != nil {
		return n.failed(sequence, err)
	}
	got, err := n.receive(0)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		if err = n.lookAgain(); err == nil {
			_, err = n.receive(got)
		}
	}
	if err != nil {
		return n.failed(sequence, err)
	}
	return nil
}

// receive reads a response of which some bytes are there already, and returns
// how many there are then.
func (n *netConn) receive(got int) (int, error) {
	want := len(n.request)
	if n.datagrams {
		got, err := n.client.Read(n.response)
		if err == nil && got != want {
			err = fmt.Errorf("response of %d bytes, want %d", got, want)
		}
		return got, err
	}
	for got < want {
		more, err := n.client.Read(n.response[got:want])
		got += more
		if err != nil {
			return got, err
		}
	}
	return got, nil
}

func (n *netConn) failed(sequence uint64, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("no response within %v: %w", n.timeout, err)
	}
	return fmt.Errorf("%s round trip %d to %v: %w", n.transport, sequence, n.client.RemoteAddr(), err)
}

func (n *netConn) verify(sequence uint64) error {
	response := n.response[:len(n.request)]
	if bytes.Equal(response, n.request) {
		return nil
	}
	if got := binary.BigEndian.Uint64(response); got != sequence {
		return n.failed(sequence, fmt.Errorf("response carries sequence number %d", got))
	}
	return n.failed(sequence, errors.New("response differs from its request behind the sequence number"))
}

func (n *netConn) close() error {
	n.stopWatch()
	n.client.Close()
	for _, c := range n.server {
		c.Close()
	}
	if n.served == nil {
		return nil
	}
	return <-n.served
}
