package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
)

// fresh makes a connection for each operation: crr, crr-graceful and connect.
type fresh struct {
	*netConn
	dialer *dialer
	op     string
}

func openFresh(e *netEngine, s Spec, d *dialer) (netTrip, error) {
	f := &fresh{newNetConn(e.ctx, s, 0), d, s.Op}
	f.look = e.look
	return f, nil
}

func (f *fresh) roundTrip(sequence uint64) error {
	f.look(sequence)
	conn, err := f.dialer.dial(f.ctx)
	if err != nil {
		return fmt.Errorf("connection %d: %w", sequence, err)
	}
	f.use(conn)
	if f.op == Connect {
		return nil
	}
	mark(f.request, sequence)
	if err = f.netConn.keepWaiting(); err == nil {
		if err = f.send(f.request); err == nil {
			err = f.take()
		}
	}
	if err = errors.Join(err, f.end()); err != nil {
		return f.failed(sequence, err)
	}
	return nil
}

// end closes the connection as the operation says.
func (f *fresh) end() error {
	var err error
	if tcp, ok := f.conn.(*net.TCPConn); ok && f.op != CRRGraceful {
		err = tcp.SetLinger(0)
	}
	return errors.Join(err, f.conn.Close())
}

// verify waits, of a handshake alone, until the server has taken the connection
// from its queue, which would be full some time otherwise.
func (f *fresh) verify(sequence uint64) error {
	if f.op != Connect {
		return f.netConn.verify(sequence)
	}
	err := f.netConn.keepWaiting()
	if err == nil {
		_, err = f.receive(f.response[:1], 1)
	}
	if err = errors.Join(err, f.end()); err != nil {
		return f.failed(sequence, err)
	}
	return nil
}

// keepWaiting tells of the end of the context: each connection has a deadline of
// its own.
func (f *fresh) keepWaiting() error {
	return context.Cause(f.ctx)
}

func (f *fresh) close() error {
	f.stopWatch()
	if f.conn != nil {
		_ = f.conn.Close() // most often it is closed
	}
	return nil
}
