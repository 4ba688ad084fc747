package bench

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// rawBurst sends a number of requests before it reads the first response.
type rawBurst struct {
	*rawTrip
	size, together      int    // requests that go out in one write, over a stream
	requests, responses []byte // of a burst, one after the other
	sent, arrived       []time.Duration
	lostInARow          int
}

func openRawBurst(r *raw, cpu int) (*rawBurst, error) {
	if err := roomForBurst(r.spec); err != nil {
		return nil, err
	}
	t, err := newRawTrip(r, cpu)
	if err != nil {
		return nil, err
	}
	return newRawBurst(t), enoughBuffer(r, r.spec.Outstanding*datagramRoom(r.spec.SizeBytes))
}

func newRawBurst(t *rawTrip) *rawBurst {
	n, size := t.spec.Outstanding, t.spec.SizeBytes
	b := &rawBurst{
		rawTrip: t, size: size, together: 1, responses: make([]byte, n*size),
		sent: make([]time.Duration, n), arrived: make([]time.Duration, n),
	}
	if !t.client.datagrams {
		b.together = (n + maxBurstWrites - 1) / maxBurstWrites
	}
	for k := range n {
		b.requests = append(b.requests, newPayload(size, k)...)
	}
	return b
}

// run makes bursts back to back.
func (b *rawBurst) run(m *meter, d time.Duration) error {
	began := m.now()
	for {
		if err := b.keepWaiting(); err != nil {
			return err
		}
		first := m.sequence + 1
		if err := b.sendAll(m); err != nil {
			return b.failed(m.sequence, err)
		}
		receive := b.receiveStream
		if b.client.datagrams {
			receive = b.receiveDatagrams
		}
		if k, err := receive(m); err != nil {
			return b.failed(first+uint64(k), err)
		}
		end := m.now()
		for k := range b.sent {
			if err := m.record(b.arrived[k] - b.sent[k]); err != nil {
				return err
			}
		}
		if end-began >= d {
			m.elapsed += end - began
			return nil
		}
	}
}

func (b *rawBurst) request(k int) []byte { return b.requests[k*b.size : (k+1)*b.size] }

func (b *rawBurst) sendAll(m *meter) error {
	for k := 0; k < len(b.sent); k += b.together {
		after := min(k+b.together, len(b.sent))
		for i := k; i < after; i++ {
			m.sequence++
			b.look(m.sequence)
			mark(b.request(i), m.sequence)
		}
		now := m.now()
		for i := k; i < after; i++ {
			b.sent[i] = now
		}
		if err := b.client.send(b.requests[k*b.size : after*b.size]); err != nil {
			return err
		}
	}
	return nil
}

// receiveStream reads what there is until all responses are. One has arrived when
// the read that completes it returns. An error is of the k-th.
func (b *rawBurst) receiveStream(m *meter) (k int, err error) {
	for got := 0; got < len(b.responses); {
		more, err := b.client.receiveSome(b.responses[got:], silenceTimeout)
		if err != nil {
			return k, unanswered(err)
		}
		got += more
		for now := m.now(); k < got/b.size; k++ {
			b.arrived[k] = now
		}
	}
	for k := range b.sent {
		if err := differs(b.request(k), b.responses[k*b.size:(k+1)*b.size]); err != nil {
			return k, err
		}
	}
	return k, nil
}

// receiveDatagrams takes responses in the order of their requests. One that is
// passed over is lost, as are those that do not come in time: they count as their
// timeout.
func (b *rawBurst) receiveDatagrams(m *meter) (k int, err error) {
	for k < len(b.sent) {
		got, err := b.client.receive(b.response, silenceTimeout)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			b.owed += len(b.sent) - k
			return k, b.lose(m, k, len(b.sent))
		}
		if err != nil {
			return k, err
		}
		now := m.now()
		at := k
		for at < len(b.sent) && !bytes.Equal(b.request(at), b.response[:got]) {
			at++
		}
		switch {
		case at < len(b.sent):
			if err := b.lose(m, k, at); err != nil {
				return k, err
			}
			b.arrived[at] = now
			b.lostInARow = 0
			k = at + 1
		case b.owed > 0: // it answers an earlier burst
			b.owed--
		case got != b.size:
			return k, fmt.Errorf("response of %d bytes, want %d", got, b.size)
		default:
			return k, differs(b.request(k), b.response[:got])
		}
	}
	return k, nil
}

// lose counts the responses from one to before another as lost.
func (b *rawBurst) lose(m *meter, from, to int) error {
	if from == to {
		return nil
	}
	if b.lostInARow++; !b.spec.datagrams() || m.lossless || b.lostInARow >= maxLostInARow {
		return unanswered(os.ErrDeadlineExceeded)
	}
	m.lost += int64(to - from)
	for k := from; k < to; k++ {
		b.arrived[k] = b.sent[k] + replyTimeout
	}
	return nil
}

// unanswered says of a deadline what did not come by then.
func unanswered(err error) error {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("no response within %v: %w", replyTimeout, os.ErrDeadlineExceeded)
	}
	return err
}

// datagramRoom is what a datagram takes of a buffer at most: the kernel counts its
// own structures and what is left over of the memory they are in (SKB_TRUESIZE of
// skbuff.h). 64 bytes were seen to take 768, 1,400 bytes 2,304.
func datagramRoom(size int) int { return 2*size + 1024 }

// enoughBuffer has the sockets of datagrams keep all that goes out before the first
// is read: what does not fit would be lost over UDP, and make both ends of unix
// sockets wait for each other.
func enoughBuffer(r *raw, bytes int) error {
	option, setting := unix.SO_RCVBUF, "net.core.rmem_max"
	switch r.spec.Transport {
	case UDP, UDP6:
	case UnixGram: // a sender pays for what its peer has not read
		option, setting = unix.SO_SNDBUF, "net.core.wmem_max"
	default:
		return nil
	}
	for _, fd := range append(r.clientFiles[:len(r.clientFiles):len(r.clientFiles)], r.serverFiles...) {
		has, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
		if err == nil && has < bytes {
			// The kernel doubles what is asked for, up to the setting (socket(7)).
			if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, option, (bytes+1)/2); err == nil {
				has, err = unix.GetsockoptInt(fd, unix.SOL_SOCKET, option)
			}
		}
		if err != nil {
			return os.NewSyscallError("sockopt", err)
		}
		if has < bytes {
			return &MissingError{r.spec, fmt.Sprintf("%s of %d", setting, (bytes+1)/2), fmt.Errorf("a buffer has %d bytes of %d", has, bytes)}
		}
	}
	return nil
}

// queueSetting bounds how many datagrams wait at a unix socket (unix(7)).
const queueSetting = "/proc/sys/net/unix/max_dgram_qlen"

// roomForBurst says with a *MissingError that both ends of a pair of unix sockets
// would wait for each other: each keeps a datagram more than the setting says, and
// the server has one.
func roomForBurst(s Spec) error {
	if s.Transport != UnixGram {
		return nil
	}
	content, err := os.ReadFile(queueSetting)
	if err != nil {
		return err
	}
	length, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return fmt.Errorf("%s: %w", queueSetting, err)
	}
	if room := 2*(length+1) + 1; s.Outstanding > room {
		return &MissingError{s, fmt.Sprintf("net.unix.max_dgram_qlen of %d", s.Outstanding/2), fmt.Errorf("%d datagrams find room, and it is %d", room, length)}
	}
	return nil
}
