package bench

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"
)

// netConn is the client's end of a connection of Go's net package.
type netConn struct {
	ctx       context.Context
	look      func(sequence uint64)
	transport string
	datagrams bool
	request   []byte
	response  []byte // with room for a datagram that is a byte too long
	timeout   time.Duration
	// owed is how many answers did not come in time, and may come yet.
	owed int
	// writeSlack is how much longer a write may take than a read: TLS has no use
	// for a connection after a write that timed out.
	writeSlack time.Duration

	stopWatch func() bool // ends the watch over ctx
	mu        sync.Mutex  // guards conn against the watch
	conn      net.Conn
}

// openNetTrip makes round trips over one connection that stays.
func openNetTrip(e *netEngine, s Spec, d *dialer, flow int) (netTrip, error) {
	return dialNetConn(e, s, d, flow)
}

func dialNetConn(e *netEngine, s Spec, d *dialer, flow int) (*netConn, error) {
	conn, err := d.dial(e.ctx)
	if err != nil {
		return nil, err
	}
	n := newNetConn(e.ctx, s, flow)
	n.look = e.look
	n.use(conn)
	return n, nil
}

func newNetConn(ctx context.Context, s Spec, flow int) *netConn {
	n := &netConn{
		ctx:       ctx,
		look:      func(uint64) {},
		transport: s.Transport,
		datagrams: s.datagrams(),
		request:   newPayload(s.SizeBytes, flow),
		response:  make([]byte, s.SizeBytes+1),
		timeout:   replyTimeout,
	}
	if s.Transport == TLS {
		n.writeSlack = 5 * replyTimeout
	}
	n.stopWatch = context.AfterFunc(ctx, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.conn != nil {
			_ = n.conn.SetDeadline(time.Now())
		}
	})
	return n
}

// newPayload is a request of a flow. What follows the sequence number is no zero
// that a fresh buffer would hold as well, and differs between flows.
func newPayload(size, flow int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i+2*flow) | 1
	}
	return p
}

// use makes a connection the one that the end of the context interrupts.
func (n *netConn) use(conn net.Conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.conn = conn
}

func (n *netConn) keepWaiting() error {
	return n.waitUntil(time.Now().Add(n.timeout + waitRefresh))
}

func (n *netConn) lookAgain() error {
	return n.waitUntil(time.Now().Add(lastLook))
}

func (n *netConn) waitUntil(deadline time.Time) error {
	err := n.conn.SetDeadline(deadline)
	if err == nil && n.writeSlack > 0 {
		err = n.conn.SetWriteDeadline(deadline.Add(n.writeSlack))
	}
	if err != nil {
		return fmt.Errorf("%s client: %w", n.transport, err)
	}
	// The deadline by which the context ends a read may just have been undone.
	if n.ctx.Err() != nil {
		return context.Cause(n.ctx)
	}
	return nil
}

func (n *netConn) roundTrip(sequence uint64) error {
	n.look(sequence)
	mark(n.request, sequence)
	err := n.send(n.request)
	if err == nil {
		err = n.take()
	}
	if err != nil {
		return n.failed(sequence, err)
	}
	return nil
}

// send writes a message. While some of it goes out, it may take its time.
func (n *netConn) send(p []byte) error {
	for last := false; ; {
		sent, err := n.conn.Write(p)
		if !errors.Is(err, os.ErrDeadlineExceeded) || (sent == 0 && last) {
			return err
		}
		p, last = p[sent:], sent == 0
		if err := n.lookAgain(); err != nil {
			return err
		}
	}
}

// take receives the response. Of datagrams, one to an earlier request may come
// before it.
func (n *netConn) take() error {
	if !n.datagrams {
		_, err := n.receive(n.response[:len(n.request)], len(n.request))
		return err
	}
	for {
		got, err := n.receive(n.response, len(n.response))
		if errors.Is(err, os.ErrDeadlineExceeded) {
			n.owed++
		}
		if err != nil {
			return err
		}
		if got != len(n.request) {
			return fmt.Errorf("response of %d bytes, want %d", got, len(n.request))
		}
		if n.owed == 0 || bytes.Equal(n.response[:got], n.request) {
			return nil
		}
		n.owed--
	}
}

// receive reads until there are enough bytes. While some come, it may take its
// time.
func (n *netConn) receive(p []byte, enough int) (got int, err error) {
	for last := false; got < enough; {
		more, err := n.conn.Read(p[got:])
		got += more
		switch {
		case err == nil && n.datagrams:
			return got, nil
		case err == nil:
			last = false
		case !errors.Is(err, os.ErrDeadlineExceeded), more == 0 && last:
			return got, err
		default:
			last = more == 0
			if err := n.lookAgain(); err != nil {
				return got, err
			}
		}
	}
	return got, nil
}

func (n *netConn) failed(sequence uint64, err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("no response within %v: %w", n.timeout, err)
	}
	return fmt.Errorf("%s round trip %d to %v: %w", n.transport, sequence, n.conn.RemoteAddr(), err)
}

func (n *netConn) verify(sequence uint64) error {
	if err := differs(n.request, n.response[:len(n.request)]); err != nil {
		return n.failed(sequence, err)
	}
	return nil
}

// differs says how a response is not its request.
func differs(request, response []byte) error {
	if bytes.Equal(response, request) {
		return nil
	}
	if len(request) >= sequenceBytes && !bytes.Equal(response[:sequenceBytes], request[:sequenceBytes]) {
		return fmt.Errorf("the response carries sequence number %d", binary.BigEndian.Uint64(response))
	}
	return errors.New("the response differs from its request")
}

func (n *netConn) close() error {
	n.stopWatch()
	_ = n.conn.Close() // of TLS it fails where the server is gone
	return nil
}
