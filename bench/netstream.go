package bench

import (
	"fmt"
	"os"
	"time"
)

// netStream writes in one direction.
type netStream struct {
	*netConn
	server *serverProcess
	sent   int64 // since the connection was made, as
	got    int64 // the server has received
}

func openStream(e *netEngine, s Spec, d *dialer) (netClient, error) {
	n, err := dialNetConn(e, s, d, 0)
	if err != nil {
		return nil, err
	}
	return &netStream{netConn: n, server: e.server}, nil
}

// run writes and then waits until all of it has arrived, or as much as does
// within replyTimeout: what lies in buffers was not delivered.
func (n *netStream) run(m *meter, d time.Duration) error {
	began := m.now()
	refreshed := began - waitRefresh
	for end := began; end-began < d; {
		start := m.now()
		if start-refreshed >= waitRefresh {
			if err := n.keepWaiting(); err != nil {
				return err
			}
			refreshed = start
			start = m.now()
		}
		m.sequence++
		n.look(m.sequence)
		mark(n.request, m.sequence)
		if err := n.send(n.request); err != nil {
			return fmt.Errorf("%s write %d to %v: %w", n.transport, m.sequence, n.conn.RemoteAddr(), err)
		}
		n.sent += int64(len(n.request))
		end = m.now()
		if err := m.record(end - start); err != nil {
			return err
		}
	}
	got, err := n.server.received(n.ctx, n.sent)
	if err != nil {
		return err
	}
	if got == n.got {
		return fmt.Errorf("%s stream to %v: nothing arrived within %v: %w", n.transport, n.conn.RemoteAddr(), replyTimeout, os.ErrDeadlineExceeded)
	}
	m.bytes += got - n.got
	m.elapsed += m.now() - began
	n.got = got
	return nil
}
