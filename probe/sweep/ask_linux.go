package sweep

import (
	"context"
	"errors"
	"net/netip"
	"sync"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/verdict"
)

const (
	// rounds is how often what is undecided is asked at most, where packets were
	// lost on the way: a full backlog or receive buffer is no verdict.
	rounds = 4
	// chunkPorts is how many packets one worker takes at a time.
	chunkPorts = 2048
	// maxWorkers bounds the threads that send; more would fight over the set.
	maxWorkers = 8
)

var asking sync.Mutex

// askInside runs in the machine's zone.
func askInside(ctx context.Context, in *sandbox.Inside, o order) ([][]Run, error) {
	asking.Lock()
	defer asking.Unlock()
	results := make([][]Run, len(o.Sweeps))
	for _, group := range groups(o.Machine, o.Sweeps) {
		q := &questions{in: in, machine: o.Machine}
		for _, i := range group {
			q.sweeps = append(q.sweeps, o.Sweeps[i])
		}
		if err := q.ask(ctx); err != nil {
			return nil, err
		}
		for k, i := range group {
			results[i] = q.tallies[k].runs()
		}
	}
	return results, nil
}

// questions are sweeps that are asked in one recording.
type questions struct {
	in      *sandbox.Inside
	machine Machine
	sweeps  []Sweep

	recorder *recorder
	// base is the number of the first sweep in the recording.
	base    int
	doors   []*door
	outs    []*template
	mu      sync.Mutex
	tallies []*tally
	// made are the connections that connection tracking was told of, each with
	// that of the answers, which are of the same one.
	made map[connection]bool
	// translated are those that rules send elsewhere, and where to.
	translated map[connection]netip.AddrPort
}

// prepare opens what is needed.
func (q *questions) prepare(ctx context.Context) (err error) {
	if q.recorder, q.base, err = record(q.sweeps); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, q.recorder.release())
		}
	}()
	for i, s := range q.sweeps {
		d, err := openDoor(q.in, q.machine, doorKey{s.Zone, s.To.Is6()})
		if err != nil {
			return err
		}
		q.doors = append(q.doors, d)
		q.outs = append(q.outs, newTemplate(s, q.base+i))
		q.tallies = append(q.tallies, newTally(s))
	}
	q.made, q.translated = map[connection]bool{}, map[connection]netip.AddrPort{}
	return q.learnTranslations(ctx)
}

func (q *questions) ask(ctx context.Context) (err error) {
	if err := q.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, q.recorder.release(), q.forget()) }()
	return q.askAll(ctx)
}

// askAll sends the packets, again where some were lost.
func (q *questions) askAll(ctx context.Context) error {
	for round := range rounds {
		before, err := q.losses()
		if err != nil {
			return err
		}
		if err := q.send(ctx, round > 0); err != nil {
			return err
		}
		if err := q.recorder.seen(ctx, q.accepted); err != nil {
			return err
		}
		after, err := q.losses()
		if err != nil {
			return err
		}
		if after == before {
			return nil
		}
	}
	return errors.New("packets were lost on the way each time: the machine's backlog (net.core.netdev_max_backlog) or a receive buffer (net.core.rmem_max) was full")
}

// losses counts the packets that queues on the way had no room for. Those of
// the backlog are of all network namespaces together.
func (q *questions) losses() (lost uint64, err error) {
	if softnet, err := counters.ReadSoftnet(); err == nil {
		for _, cpu := range softnet.PerCPU {
			lost += uint64(cpu.Dropped)
		}
	}
	for d := range q.eachDoor {
		its, err := d.losses()
		if err != nil {
			return 0, err
		}
		lost += uint64(its)
	}
	return lost, nil
}

func (q *questions) eachDoor(yield func(*door) bool) {
	known := map[*door]bool{}
	for _, d := range q.doors {
		if !known[d] && !yield(d) {
			return
		}
		known[d] = true
	}
}

func (q *questions) eachQueue(yield func(*queue) bool) {
	known := map[*queue]bool{}
	for d := range q.eachDoor {
		if !known[d.queue] && !yield(d.queue) {
			return
		}
		known[d.queue] = true
	}
}

func (q *questions) accepted(tagged int, number uint16, at netip.AddrPort) {
	sweep := tagged - q.base
	if sweep < 0 || sweep >= len(q.tallies) {
		return
	}
	_, to := q.outs[sweep].ends(number)
	if q.sweeps[sweep].Protocol == ICMP {
		to = netip.AddrPortFrom(to.Addr(), 0)
	}
	q.tallies[sweep].land(number, to, at)
}

func (q *questions) answered(a answer) {
	sweep := a.sweep - q.base
	if sweep < 0 || sweep >= len(q.tallies) {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tallies[sweep].set(a.number, Run{Verdict: a.verdict})
}

func (q *questions) refused(sweep int, number uint16) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if t := q.tallies[sweep]; t.fates[number] == 0 {
		t.set(number, Run{Verdict: verdict.Verdict{Action: verdict.Drop}, Local: true})
	}
}

// chunk is some packets of a sweep.
type chunk struct {
	sweep int
	portset.Range
}

// send sends the packets, or those of which nothing is known, and takes what
// answers come. When it returns all were dealt with.
func (q *questions) send(ctx context.Context, again bool) error {
	var chunks []chunk
	for i, t := range q.tallies {
		ranges := t.numbers
		if again {
			ranges = t.undecided()
		}
		step := chunkPorts
		if q.sweeps[i].Burst > 0 {
			step = 1 << 16 // in order, by one worker
		}
		for _, r := range ranges {
			for first := int(r.First); first <= int(r.Last); first += step {
				chunks = append(chunks, chunk{i, portset.Range{First: uint16(first), Last: uint16(min(first+step-1, int(r.Last)))}})
			}
		}
	}
	for len(chunks) > 0 {
		n, remembered := 0, 0
		for n < len(chunks) && remembered < rememberedPackets {
			if q.machine.remembers(q.sweeps[chunks[n].sweep]) {
				remembered += chunks[n].Len()
			}
			n++
		}
		if err := q.establish(chunks[:n]); err != nil {
			return err
		}
		if err := q.sendChunks(ctx, chunks[:n]); err != nil {
			return err
		}
		chunks = chunks[n:]
		if remembered > 0 && len(chunks) > 0 {
			if err := q.forget(); err != nil {
				return err
			}
		}
	}
	return nil
}

// rememberedPackets is how many packets connection tracking remembers at most:
// its table usually has room for 65,536 connections and more
// (Documentation/networking/nf_conntrack-sysctl.rst).
const rememberedPackets = 16 << 10
