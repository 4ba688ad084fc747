package listeners

import (
	"context"
	"fmt"
	"time"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// goneAlready stands for the owners of a listener that closed while they were
// looked up.
const goneAlready = "closed before its process could be looked up"

// Event is a listener that came or went.
type Event struct {
	When     time.Time `json:"when"` // of the look that found it
	Opened   bool      `json:"opened"`
	Listener Listener  `json:"listener"`
}

// Watch tells what opens and closes after a list was read, until the context
// ends or tell returns an error, and returns that error. Of what it finds at
// one look it tells the closings first.
//
// It looks once every interval, as no event of the kernel says that a socket
// begins to listen: what opens and closes between two looks is missed. A look
// lists the listeners alone. Owners are looked up for what is new; what closes
// is told with those that it had.
//
// It watches the calling thread's network namespace, on the calling goroutine.
func Watch(ctx context.Context, before List, interval time.Duration, tell func(Event) error) error {
	w := watch{present: before.Listeners, gaps: -1}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		events, err := w.look(ctx)
		if err != nil {
			return err
		}
		for _, e := range events {
			if err := tell(e); err != nil {
				return err
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("watch who listens: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}

// watch is what was last seen.
type watch struct {
	present []Listener
	gaps    int // of the first look's list, -1 before
}

// look finds what changed since the last look.
func (w *watch) look(ctx context.Context) ([]Event, error) {
	now, whole, err := w.list(ctx)
	if err != nil || !whole {
		return nil, err
	}
	same := identification(w.present, now)
	opened, closed := beyond(now, w.present, same), beyond(w.present, now, same)
	if len(closed) > 0 {
		// A long list comes in pieces, and where sockets close between two of
		// them the kernel may skip others. A second list has those.
		again, whole, err := w.list(ctx)
		if err != nil || !whole {
			return nil, err
		}
		stayed := beyond(closed, beyond(w.present, again, same), same)
		closed = beyond(closed, stayed, same)
	}
	if len(opened) > 0 {
		if opened, err = describeNew(ctx, opened, same); err != nil {
			return nil, err
		}
	}
	w.present = append(beyond(w.present, closed, same), opened...)

	when := time.Now()
	events := make([]Event, 0, len(closed)+len(opened))
	for _, l := range closed {
		events = append(events, Event{when, false, l})
	}
	for _, l := range opened {
		events = append(events, Event{when, true, l})
	}
	return events, nil
}

// list lists the listeners without their owners. It is not whole where the
// kernel left a gap that the first list did not have: what it lacks need not
// be gone.
func (w *watch) list(ctx context.Context) (all []Listener, whole bool, err error) {
	gaps := 0
	// Asked for together, each protocol would be listed in both states, and the
	// kernel is slow to find the TCP sockets that are closed.
	for _, o := range []socktable.Options{
		{Protocols: []socktable.Protocol{socktable.TCP}, States: []sock.TCPState{sock.Listening}},
		{Protocols: []socktable.Protocol{socktable.UDP}, States: []sock.TCPState{sock.Closed}},
	} {
		table, err := socktable.Read(ctx, o)
		if err != nil {
			return nil, false, fmt.Errorf("watch who listens: %w", err)
		}
		gaps += len(table.Gaps)
		for i := range table.Sockets {
			if s := &table.Sockets[i]; s.Listens() {
				all = append(all, bare(s))
			}
		}
	}
	if w.gaps < 0 {
		w.gaps = gaps
	}
	return all, gaps <= w.gaps, nil
}

// describeNew finds out whose the new listeners are.
func describeNew(ctx context.Context, opened []Listener, same func(Listener) identity) ([]Listener, error) {
	list, err := Read(ctx)
	if err != nil {
		return nil, err
	}
	described := map[identity][]Listener{}
	for _, l := range list.Listeners {
		described[same(l)] = append(described[same(l)], l)
	}
	var names *describer
	for i, l := range opened {
		if found := described[same(l)]; len(found) > 0 {
			opened[i], described[same(l)] = found[0], found[1:]
			continue
		}
		if names == nil {
			names = newDescriber()
		}
		names.name(&opened[i])
		opened[i].Unowned = goneAlready
	}
	sortListeners(opened)
	return opened, nil
}
