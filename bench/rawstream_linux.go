package bench

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawStream writes in one direction.
type rawStream struct {
	*raw
	client  *rawEnd
	request []byte
	// sent is since the connection was made, got what of it has been counted.
	sent, got int64
	sink      rawSink
}

// rawSink is the end that reads.
type rawSink struct {
	*raw
	end  *rawEnd
	room []byte
	// received is in bytes. arrived tells that it is as much as is wanted or, of
	// datagrams, that no more are waiting.
	received, wanted atomic.Int64
	draining         atomic.Bool
	arrived          chan struct{}
}

func openRawStream(r *raw, cpu int) (*rawStream, error) {
	client, server, err := r.pair()
	if err != nil {
		return nil, err
	}
	s := &rawStream{raw: r, client: client, request: newPayload(r.spec.SizeBytes, 0)}
	s.sink = rawSink{raw: r, end: server, room: make([]byte, sinkBytes), arrived: make(chan struct{}, 1)}
	serve := s.sink.stream
	if server.datagrams {
		serve = s.sink.datagrams
	}
	return s, r.serve(cpu, serve)
}

// run writes and then waits until all of it has arrived, or as much as does: what
// lies in buffers was not delivered. Datagrams that did not arrive are lost.
func (s *rawStream) run(m *meter, d time.Duration) error {
	began := m.now()
	for end := began; end-began < d; {
		if err := s.keepWaiting(); err != nil {
			return err
		}
		m.sequence++
		s.look(m.sequence)
		mark(s.request, m.sequence)
		start := m.now()
		if err := s.client.send(s.request); err != nil {
			return fmt.Errorf("%s write %d: %w", s.spec.Transport, m.sequence, err)
		}
		end = m.now()
		s.sent += int64(len(s.request))
		if err := m.record(end - start); err != nil {
			return err
		}
	}
	if err := s.await(m.ctx); err != nil {
		return err
	}
	got := s.sink.received.Load()
	if got == s.got {
		return fmt.Errorf("%s stream: nothing arrived within %v: %w", s.spec.Transport, replyTimeout, os.ErrDeadlineExceeded)
	}
	m.bytes += got - s.got
	m.elapsed += m.now() - began
	s.got = got
	if missing := s.sent - got; missing > 0 {
		if !s.spec.datagrams() || m.lossless {
			return fmt.Errorf("%s stream: %d of %d bytes did not arrive within %v: %w", s.spec.Transport, missing, s.sent, replyTimeout, os.ErrDeadlineExceeded)
		}
		m.lost += missing / int64(len(s.request))
		s.sent = got
	}
	return nil
}

// await waits until the other end has read what arrives, for replyTimeout at most.
func (s *rawStream) await(ctx context.Context) error {
	select {
	case <-s.sink.arrived: // of an earlier time
	default:
	}
	if s.client.datagrams {
		s.sink.draining.Store(true)
		// An empty one wakes a reader that waits; others look by themselves.
		syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.client.out), 0, 0, unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, 0, 0)
	} else {
		s.sink.wanted.Store(s.sent)
		if s.sink.received.Load() >= s.sent {
			return nil
		}
	}
	timer := time.NewTimer(replyTimeout)
	defer timer.Stop()
	for {
		select {
		case <-s.sink.arrived:
			if s.client.datagrams || s.sink.received.Load() >= s.sent {
				return nil
			} // otherwise it was of an earlier time
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

func (s *rawSink) tell() {
	select {
	case s.arrived <- struct{}{}:
	default: // it was told before
	}
}

// stream counts what comes.
func (s *rawSink) stream() error {
	for k := 0; ; k++ {
		s.lookAsServer(k)
		n, err := s.end.receiveSome(s.room, 0)
		if err != nil {
			return err
		}
		// First counted, then looked at: whoever waits does it the other way round, so
		// that one of both sees it.
		got := s.received.Add(int64(n))
		if wanted := s.wanted.Load(); wanted > 0 && got >= wanted && s.wanted.CompareAndSwap(wanted, 0) {
			s.tell()
		}
	}
}

// datagrams counts what comes. While it is draining it takes what waits, and tells
// when there is no more.
func (s *rawSink) datagrams() error {
	var waited patience
	for k := 0; ; k++ {
		s.lookAsServer(k)
		flags := s.end.flags
		draining := s.draining.Load()
		if draining {
			flags |= unix.MSG_DONTWAIT
		}
		n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.end.in), uintptr(unsafe.Pointer(unsafe.SliceData(s.room))), uintptr(len(s.room)), flags, 0, 0)
		switch {
		case errno == 0 && n == 0 && s.stop.Load():
			return errStopped
		case errno == 0:
			s.received.Add(int64(n))
			waited = patience{}
		case errno == unix.EAGAIN && draining:
			s.draining.Store(false)
			s.tell()
		case errno == unix.EINTR || errno == unix.EAGAIN:
			if err := waited.goOn(errno, s.stop, 0); err != nil {
				return err
			}
		default:
			return os.NewSyscallError("receive", errno)
		}
	}
}
