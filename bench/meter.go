package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// Bounds of what a histogram holds. No round trip is faster than a nanosecond,
// none outlasts its reply timeout by much, and three digits are finer than the
// median is known.
const (
	lowestNS  = 1
	highestNS = int64(time.Minute)
	digits    = 3
)

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(lowestNS, highestNS, digits) }

// meter records the operations of one window.
type meter struct {
	ctx context.Context
	// clock is the moment that all times are taken against: the time since a
	// given moment costs one reading of the monotonic clock, where time.Now
	// reads the wall clock as well.
	clock time.Time
	// sequence is the number of the last operation; it is never reset.
	sequence uint64
	hist     *hdrhistogram.Histogram // nanoseconds
	// service is filled at a fixed rate only.
	service *hdrhistogram.Histogram
	// elapsed is from the first request to the last response.
	elapsed time.Duration
	lost    int64
	bytes   int64 // that a stream delivered
	// lossless makes an error of a lost datagram.
	lossless bool
	late     time.Duration
	punctual int64       // requests that late is the sum of
	timer    *time.Timer // nil until it is needed
	// lostInARow are responses that stayed away since the last that came; it is never
	// reset, since a window may be over before the next request.
	lostInARow int
}

func (m *meter) now() time.Duration { return time.Since(m.clock) }

func (m *meter) record(took time.Duration) error {
	return m.hist.RecordValue(min(max(int64(took), lowestNS), highestNS))
}

// reset forgets what was recorded, so that the memory it is in stays warm.
func (m *meter) reset() {
	m.hist.Reset()
	m.service.Reset()
	m.elapsed, m.lost, m.bytes, m.late, m.punctual = 0, 0, 0, 0, 0
}

// engine is one fresh set of sockets and threads that a window measures over.
type engine interface {
	// run makes operations for at least a duration and one of them, and records
	// each. It allocates nothing per operation unless it fails.
	run(m *meter, d time.Duration) error
	// remote is what the server has used up so far where it is a process of its own,
	// and where it was seen.
	remote() (usage, error)
	// close ends both sides and returns what went wrong on the side that run does
	// not see. It is safe to call when run failed.
	close() error
}

// trip is an operation that is made one at a time.
type trip interface {
	// roundTrip sends the request of a sequence number and returns when its
	// response has come. It allocates nothing unless it fails. A response that did
	// not come is os.ErrDeadlineExceeded.
	roundTrip(sequence uint64) error
	// verify says whether the last response answers the request of a sequence
	// number. It is called outside of the time that is measured.
	verify(sequence uint64) error
	// keepWaiting gives every round trip that starts within waitRefresh its full
	// reply timeout. It fails when the engine's context has ended.
	keepWaiting() error
}

// oneByOne runs trips back to back, or at intervals.
type oneByOne struct {
	trip
	interval time.Duration
	// lossy trips may stay without an answer.
	lossy bool
}

// connection is a pair of ends that trips are made over.
type connection interface {
	trip
	remote() (usage, error)
	close() error
}

// single is an engine of one connection.
type single struct {
	oneByOne
	connection connection
}

func newSingle(s Spec, c connection) *single { return &single{oneByOneOf(s, c), c} }

// oneByOneOf makes trips as a benchmark asks for.
func oneByOneOf(s Spec, t trip) oneByOne {
	o := oneByOne{trip: t, lossy: s.datagrams()}
	if s.RateHz > 0 {
		o.interval = time.Duration(float64(time.Second) / s.RateHz)
	}
	return o
}

func (s *single) remote() (usage, error) { return s.connection.remote() }
func (s *single) close() error           { return s.connection.close() }

// waitRefresh is how often the deadline of responses is moved on: doing so for
// every round trip would cost a few percent of the rate. A lost response is
// noticed later by this much at most.
const waitRefresh = 100 * time.Millisecond

// maxLostInARow is how many answers may be missing before nobody is there.
const maxLostInARow = 3

// run makes trips. The rate that follows includes our own work between them:
// reading the clock, recording, comparing.
func (o oneByOne) run(m *meter, d time.Duration) error {
	if o.interval > 0 {
		return o.runPaced(m, d)
	}
	began := m.now()
	refreshed := began - waitRefresh
	for {
		start := m.now()
		if start-refreshed >= waitRefresh {
			if err := o.keepWaiting(); err != nil {
				return err
			}
			refreshed = start
			start = m.now()
		}
		end, err := o.step(m, start)
		if err != nil {
			return err
		}
		if err := m.record(end - start); err != nil {
			return err
		}
		if end-began >= d {
			m.elapsed += end - began
			return nil
		}
	}
}

// step makes one trip and returns when it ended.
func (o oneByOne) step(m *meter, start time.Duration) (time.Duration, error) {
	m.sequence++
	if err := o.roundTrip(m.sequence); err != nil {
		if m.ctx.Err() != nil {
			return 0, context.Cause(m.ctx)
		}
		if !o.lossy || m.lossless || !errors.Is(err, os.ErrDeadlineExceeded) || m.lostInARow+1 >= maxLostInARow {
			return 0, err
		}
		m.lostInARow++
		m.lost++
		if err := o.keepWaiting(); err != nil {
			return 0, err
		}
		return max(m.now(), start+replyTimeout), nil
	}
	end := m.now()
	m.lostInARow = 0
	if err := o.verify(m.sequence); err != nil {
		return 0, err
	}
	return end, nil
}

// spinBefore is how long before a request its thread stops sleeping: timers of
// Go and of the kernel are late by up to a millisecond and more.
const spinBefore = 2 * time.Millisecond

// runPaced sends each request at its time, or at once when that is over already.
// What a request waited for those before it is in its response time, which counts
// from the intended moment, and not in its service time.
func (o oneByOne) runPaced(m *meter, d time.Duration) error {
	began := m.now()
	for k := int64(0); ; k++ {
		intended := began + time.Duration(k)*o.interval
		waited, err := m.waitUntil(intended)
		if err != nil {
			return err
		}
		if err := o.keepWaiting(); err != nil {
			return err
		}
		start := m.now()
		if waited {
			m.late += start - intended
			m.punctual++
		}
		end, err := o.step(m, start)
		if err != nil {
			return err
		}
		if err := errors.Join(m.record(end-intended), m.service.RecordValue(min(max(int64(end-start), lowestNS), highestNS))); err != nil {
			return err
		}
		if end-began >= d {
			m.elapsed += max(end-began, time.Duration(k+1)*o.interval)
			return nil
		}
	}
}

// waitUntil sleeps until shortly before a moment and looks at the clock for the
// rest. It says whether there was anything to wait for.
func (m *meter) waitUntil(moment time.Duration) (bool, error) {
	rest := moment - m.now()
	if rest <= 0 {
		return false, nil
	}
	if rest > spinBefore {
		if m.timer == nil {
			m.timer = time.NewTimer(rest - spinBefore)
		} else {
			m.timer.Reset(rest - spinBefore)
		}
		select {
		case <-m.timer.C:
		case <-m.ctx.Done():
			return false, context.Cause(m.ctx)
		}
	}
	for m.now() < moment {
	}
	if m.ctx.Err() != nil {
		return false, context.Cause(m.ctx)
	}
	return true, nil
}

// mark puts as much of a sequence number into a message as it has room for.
func mark(message []byte, sequence uint64) {
	if len(message) >= sequenceBytes {
		binary.BigEndian.PutUint64(message, sequence)
		return
	}
	for i := range message {
		message[i] = byte(sequence >> (8 * i))
	}
}
