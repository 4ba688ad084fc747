package sweep

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/mmsg"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// worker sends from one thread.
type worker struct {
	*questions
	out *mmsg.Batch
	// numbers are those of the packets in out, and lengths theirs.
	numbers []uint16
}

// sendChunks sends packets from all processors, and returns when they were dealt
// with, and their answers taken.
func (q *questions) sendChunks(ctx context.Context, chunks []chunk) error {
	cpus, err := topology.Allowed()
	if err != nil {
		return err
	}
	cpus = cpus[:min(len(cpus), maxWorkers, len(chunks))]
	work := make(chan chunk, len(chunks))
	for _, c := range chunks {
		work <- c
	}
	close(work)
	m := &markers{wanted: map[*queue]map[uint64]bool{}}
	sent, ended, dealt := make(chan error, len(cpus)), make(chan error, len(cpus)), make(chan bool, len(cpus))
	for _, cpu := range cpus {
		go func() {
			reported := false
			err := topology.On(cpu, func() error {
				err := q.work(ctx, work)
				if err == nil {
					err = m.send(q)
				}
				reported = true
				sent <- err
				if !<-dealt {
					return nil
				}
				// What answers the packets waits in the processor's queue, too.
				return m.send(q)
			})
			if !reported {
				sent <- err
			}
			ended <- err
		}()
	}
	err = every(sent, len(cpus))
	if err == nil {
		err = m.await()
	}
	for range cpus {
		dealt <- err == nil
	}
	if err := errors.Join(err, every(ended, len(cpus))); err != nil {
		return err
	}
	if err := m.await(); err != nil {
		return err
	}
	for d := range q.eachDoor {
		if err := d.drain(q.answered); err != nil {
			return err
		}
	}
	return nil
}

// work sends chunks from the calling thread until there are none.
func (q *questions) work(ctx context.Context, chunks <-chan chunk) error {
	w := &worker{questions: q, out: mmsg.New(sendBatch, packetBytes, 0)}
	for c := range chunks {
		if err := errors.Join(ctx.Err(), w.send(c)); err != nil {
			return err
		}
	}
	return nil
}

func every(results <-chan error, n int) error {
	var errs []error
	for range n {
		errs = append(errs, <-results)
	}
	return errors.Join(errs...)
}

func (w *worker) send(c chunk) error {
	t, d := w.outs[c.sweep], w.doors[c.sweep]
	fd, link, to := d.raw, d.link, t.sweep.To
	if link != nil {
		fd, to = d.out, netip.Addr{}
	}
	for first := int(c.First); first <= int(c.Last); first += sendBatch {
		w.numbers = w.numbers[:0]
		for n := first; n <= min(first+sendBatch-1, int(c.Last)); n++ {
			b := w.out.Buffer(len(w.numbers))
			header := copy(b, link)
			length := header + t.write(b[header:], uint16(n))
			w.out.Size(len(w.numbers), length)
			w.out.To(len(w.numbers), to)
			w.numbers = append(w.numbers, uint16(n))
		}
		if err := w.sendBatch(fd, c.sweep); err != nil {
			return err
		}
		if err := d.drain(w.answered); err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) sendBatch(fd, sweep int) error {
	for sent, retries := 0, 0; sent < len(w.numbers); {
		n, err := w.out.Send(fd, sent, len(w.numbers))
		sent += n
		switch {
		case err == nil:
		case errors.Is(err, unix.EPERM), fd == w.doors[sweep].raw && isUnroutable(err):
			w.refused(sweep, w.numbers[sent])
			sent++
		case (errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOBUFS)) && retries < 1000:
			// The socket's send buffer is full of packets that wait.
			retries++
			runtime.Gosched()
		default:
			return fmt.Errorf("send to %s: %w", w.sweeps[sweep].To, err)
		}
	}
	return nil
}

// isUnroutable says that the output hook gave a packet a destination that no
// route leads to from its source: from 127.0.0.1 that is every other interface
// (EINVAL, route_localnet in Documentation/networking/ip-sysctl.rst).
func isUnroutable(err error) bool {
	return errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENETUNREACH) || errors.Is(err, unix.EHOSTUNREACH)
}
