package sweep

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// markerTimeout bounds the wait for the kernel to deal with what was sent.
	// It takes microseconds; the rest is for a machine whose processors are
	// busy.
	markerTimeout = 10 * time.Second
	// etherMarker is the first type for local experiments (IEEE 802).
	etherMarker = 0x88b5
)

// markersSent numbers the markers of this process.
var markersSent atomic.Uint64

// mark sends a frame after what the calling thread has sent. Both pass the same
// queue of its processor, so that everything before was dealt with when the
// frame is received.
func (q *queue) mark() (number uint64, err error) {
	number = markersSent.Add(1)
	frame := append(make([]byte, 0, etherHeader+46), q.link...)
	binary.BigEndian.PutUint16(frame[12:], etherMarker)
	frame = binary.BigEndian.AppendUint64(frame, number)
	frame = append(frame, make([]byte, 38)...)
	return number, unix.Sendto(q.out, frame, 0, &unix.SockaddrLinklayer{Ifindex: q.index, Protocol: binary.NativeEndian.Uint16([]byte{etherMarker >> 8, etherMarker & 0xff})})
}

// awaitMarkers waits until all markers were received.
func (q *queue) awaitMarkers(wanted map[uint64]bool, until time.Time) error {
	frame := make([]byte, 128)
	for len(wanted) > 0 {
		n, _, err := unix.Recvfrom(q.in, frame, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			left := time.Until(until)
			if left <= 0 {
				return fmt.Errorf("%d of the frames that follow the packets did not arrive", len(wanted))
			}
			fds := []unix.PollFd{{Fd: int32(q.in), Events: unix.POLLIN}}
			if _, err := unix.Poll(fds, int(left.Milliseconds())+1); err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait for a frame: %w", err)
			}
		case err != nil:
			return fmt.Errorf("receive a frame: %w", err)
		case n >= etherHeader+8:
			delete(wanted, binary.BigEndian.Uint64(frame[etherHeader:]))
		}
	}
	return nil
}

// markers are frames that several threads have sent and that did not arrive yet.
type markers struct {
	mu     sync.Mutex
	wanted map[*queue]map[uint64]bool
}

// send sends one after what the calling thread has sent to each queue.
func (m *markers) send(q *questions) error {
	for line := range q.eachQueue {
		number, err := line.mark()
		if err != nil {
			return fmt.Errorf("send a frame after the packets: %w", err)
		}
		m.mu.Lock()
		if m.wanted[line] == nil {
			m.wanted[line] = map[uint64]bool{}
		}
		m.wanted[line][number] = true
		m.mu.Unlock()
	}
	return nil
}

// await waits until all have arrived. Nobody may send meanwhile.
func (m *markers) await() error {
	until := time.Now().Add(markerTimeout)
	for line, wanted := range m.wanted {
		if err := line.awaitMarkers(wanted, until); err != nil {
			return err
		}
	}
	return nil
}
