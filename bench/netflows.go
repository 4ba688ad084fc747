package bench

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// netFlows is a client of several flows, with a goroutine for each.
type netFlows struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	flows  []*netFlow
}

// netFlow has a histogram of its own: one for all would be a queue of its own.
type netFlow struct {
	oneByOne
	closer netTrip
	meter  meter
}

func openFlows(e *netEngine, s Spec, d *dialer) (netClient, error) {
	f := &netFlows{ctx: e.ctx, cancel: e.cancel}
	for k := range s.Flows {
		t, err := e.trip(s, d, k)
		if err != nil {
			return nil, errors.Join(err, f.close())
		}
		f.flows = append(f.flows, &netFlow{oneByOneOf(s, t), t, meter{ctx: e.ctx, hist: newHistogram()}})
	}
	return f, nil
}

// run makes operations over all flows at the same time. The first that fails ends
// all.
func (f *netFlows) run(m *meter, d time.Duration) error {
	began := m.now()
	var running sync.WaitGroup
	for _, one := range f.flows {
		w := &one.meter
		*w = meter{ctx: f.ctx, clock: m.clock, sequence: m.sequence, hist: emptied(w.hist), lossless: m.lossless, lostInARow: w.lostInARow}
		running.Go(func() {
			if err := one.run(w, d); err != nil {
				f.cancel(err)
			}
		})
	}
	running.Wait()
	if err := context.Cause(f.ctx); err != nil {
		return err
	}
	m.elapsed += m.now() - began
	for _, one := range f.flows {
		w := &one.meter
		m.hist.Merge(w.hist)
		m.lost += w.lost
		m.sequence = max(m.sequence, w.sequence)
	}
	return nil
}

func emptied(h *hdrhistogram.Histogram) *hdrhistogram.Histogram {
	h.Reset()
	return h
}

func (f *netFlows) close() error {
	var errs []error
	for _, one := range f.flows {
		errs = append(errs, one.closer.close())
	}
	return errors.Join(errs...)
}
