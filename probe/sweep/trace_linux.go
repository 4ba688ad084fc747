package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/loopcheck/loopcheck/probe/internal/mmsg"
	"github.com/loopcheck/loopcheck/probe/nftrace"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/topology"
)

const (
	// traceBatch is how many packets are sent before their messages are read:
	// those of a batch have to fit into a buffer of net.core.rmem_max.
	traceBatch = 32
	// traceTries is how often a packet is sent at most while the kernel says
	// that it lost messages.
	traceTries = 8
)

// traceInside runs in the machine's zone.
func traceInside(ctx context.Context, in *sandbox.Inside, o order) (ways []Way, err error) {
	asking.Lock()
	defer asking.Unlock()
	reader, err := nftrace.Open()
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	marking, err := nftrace.Mark()
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, marking.Close()) }()
	for _, group := range groups(o.Machine, o.Sweeps) {
		t := &tracing{questions: questions{in: in, machine: o.Machine}, reader: reader, places: group}
		for _, i := range group {
			t.sweeps = append(t.sweeps, o.Sweeps[i])
		}
		if err := t.trace(ctx); err != nil {
			return nil, err
		}
		ways = append(ways, t.ways...)
	}
	slices.SortStableFunc(ways, func(a, b Way) int { return a.Sweep - b.Sweep })
	return ways, nil
}

// tracing follows the packets of some sweeps.
type tracing struct {
	questions
	reader *nftrace.Reader
	// places are those of the sweeps among all.
	places []int
	ways   []Way
}

func (t *tracing) trace(ctx context.Context) (err error) {
	if err := t.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.recorder.release(), t.forget()) }()
	// What was sent to prepare has been traced, too.
	if _, err := t.reader.Pending(); err != nil {
		return err
	}
	cpus, err := topology.Allowed()
	if err != nil {
		return err
	}
	return topology.On(cpus[0], func() error {
		w := &worker{questions: &t.questions, out: mmsg.New(sendBatch, packetBytes, 0)}
		for i, s := range t.sweeps {
			size := traceBatch
			for _, r := range s.numbers() {
				for first := int(r.First); first <= int(r.Last); {
					if err := ctx.Err(); err != nil {
						return err
					}
					last := min(first+size-1, int(r.Last))
					c := chunk{i, portset.Range{First: uint16(first), Last: uint16(last)}}
					if len(t.made) > rememberedPackets {
						if err := t.forget(); err != nil {
							return err
						}
					}
					if err := t.establish([]chunk{c}); err != nil {
						return err
					}
					fits, err := t.follow(w, c)
					if err != nil {
						return err
					}
					if !fits {
						size = max(1, size/2)
						continue
					}
					first = last + 1
				}
			}
		}
		return nil
	})
}

// follow sends a few packets and takes what they met. Where the kernel had no
// room for all messages, fewer have to be sent at once.
func (t *tracing) follow(w *worker, c chunk) (fits bool, err error) {
	d := t.doors[c.sweep]
	for range traceTries {
		if err := w.send(c); err != nil {
			return false, err
		}
		number, err := d.mark()
		if err != nil {
			return false, fmt.Errorf("send a frame after the packets: %w", err)
		}
		if err := d.awaitMarkers(map[uint64]bool{number: true}, time.Now().Add(markerTimeout)); err != nil {
			return false, err
		}
		got, err := t.reader.Pending()
		if err != nil {
			return false, err
		}
		if got.Losses > 0 {
			if c.First != c.Last {
				return false, nil
			}
			continue
		}
		t.take(c, got)
		return true, nil
	}
	return false, errors.New("the kernel had no room for what a single packet met")
}

// take notes the ways of a chunk's packets. Answers to them are traced, too, and
// left out.
func (t *tracing) take(c chunk, got *nftrace.Trace) {
	found := map[uint16]nftrace.Packet{}
	for _, p := range got.Packets {
		if sweep, number, ok := tagOf(p.Head); ok && sweep-t.base == c.sweep {
			if _, known := found[number]; !known {
				found[number] = p
			}
		}
	}
	for n := int(c.First); n <= int(c.Last); n++ {
		way := Way{Sweep: t.places[c.sweep], Number: uint16(n)}
		for _, traversal := range found[uint16(n)].Traversals {
			if traversal.Family == "inet" && traversal.Table == Table {
				continue
			}
			for _, step := range traversal.Steps {
				way.Steps = append(way.Steps, Step{
					Family: step.Family, Table: step.Table, Base: traversal.Chain,
					Chain: step.Chain, Handle: step.Handle, Verdict: step.Verdict,
				})
			}
		}
		t.ways = append(t.ways, way)
	}
}

func tagOf(head *nftrace.Head) (sweep int, number uint16, ok bool) {
	if head == nil {
		return 0, 0, false
	}
	at := tcpSequenceAt // where ICMP has it as well
	if head.Packet.Protocol == numberUDP {
		at = udpBytes
	}
	if len(head.Transport) < at {
		return 0, 0, false
	}
	return readTag(head.Transport[at:])
}
