package bench

import (
	"fmt"
	"time"
)

// maxBurstWrites is how many writes a burst has at most: a sender's buffer takes
// 277 writes that nobody has read, however small, over a unix socket (212,992 bytes
// by default, of which each takes 768 at least). A client that waits for room
// before it reads might wait for a server that does the same.
const maxBurstWrites = 128

// netBurst sends a number of requests before it reads the first response.
type netBurst struct {
	*netConn
	size                int
	together            int    // requests that go out in one write
	requests, responses []byte // of a burst, one after the other
	sent, arrived       []time.Duration
}

func openBurst(e *netEngine, s Spec, d *dialer) (netClient, error) {
	n, err := dialNetConn(e, s, d, 0)
	if err != nil {
		return nil, err
	}
	return newBurst(n, s), nil
}

func newBurst(n *netConn, s Spec) *netBurst {
	b := &netBurst{
		netConn: n, size: s.SizeBytes, together: (s.Outstanding + maxBurstWrites - 1) / maxBurstWrites,
		responses: make([]byte, s.Outstanding*s.SizeBytes),
		sent:      make([]time.Duration, s.Outstanding), arrived: make([]time.Duration, s.Outstanding),
	}
	for k := range s.Outstanding {
		b.requests = append(b.requests, newPayload(s.SizeBytes, k)...)
	}
	return b
}

func (b *netBurst) run(m *meter, d time.Duration) error {
	began := m.now()
	refreshed := began - waitRefresh
	for {
		if start := m.now(); start-refreshed >= waitRefresh {
			if err := b.keepWaiting(); err != nil {
				return err
			}
			refreshed = start
		}
		first := m.sequence + 1
		if err := b.burst(m); err != nil {
			return fmt.Errorf("burst of %d: %w", len(b.sent), b.failed(m.sequence, err))
		}
		for k := range b.sent {
			at := k * b.size
			if err := differs(b.requests[at:at+b.size], b.responses[at:at+b.size]); err != nil {
				return b.failed(first+uint64(k), err)
			}
			if err := m.record(b.arrived[k] - b.sent[k]); err != nil {
				return err
			}
		}
		if end := b.arrived[len(b.arrived)-1]; end-began >= d {
			m.elapsed += end - began
			return nil
		}
	}
}

// burst sends all requests, each in a write of its own where they are not too many,
// and reads what there is until all responses are. A response has arrived when the
// read that completes it returns.
func (b *netBurst) burst(m *meter) error {
	for k := 0; k < len(b.sent); k += b.together {
		after := min(k+b.together, len(b.sent))
		for i := k; i < after; i++ {
			m.sequence++
			b.look(m.sequence)
			mark(b.requests[i*b.size:(i+1)*b.size], m.sequence)
		}
		now := m.now()
		for i := k; i < after; i++ {
			b.sent[i] = now
		}
		if err := b.send(b.requests[k*b.size : after*b.size]); err != nil {
			return err
		}
	}
	for got, k := 0, 0; got < len(b.responses); {
		more, err := b.receive(b.responses[got:], 1)
		if err != nil {
			return err
		}
		got += more
		for now := m.now(); k < got/b.size; k++ {
			b.arrived[k] = now
		}
	}
	return nil
}
