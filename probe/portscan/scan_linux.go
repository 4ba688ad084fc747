package portscan

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

const (
	// maxAskers bounds the goroutines. Every raw socket looks at every segment
	// that the machine receives, so that more of them make each slower.
	maxAskers = 4
	// stragglerWait is how long the last answers of the first round are waited
	// for. Over loopback they are there before the send returns, unless the
	// kernel put them off for want of a processor. Whoever is silent that long
	// is asked again.
	stragglerWait = 20 * time.Millisecond
	// silenceWait is the same for the later rounds, after which silence counts.
	silenceWait = 100 * time.Millisecond
	// maxRounds ends the scan of a stack that answers at random.
	maxRounds = 12
	// proof is how many times an open port answers from different ports.
	proof = 2
	// silences is how many rounds a dropped port says nothing in; lossySilences
	// the same where packets get lost: behind a loss of 5 % each way, one scan of
	// 65,535 ports in two thousand would call one dropped.
	silences      = 2
	lossySilences = 8
)

// asker asks ports from one of its own. The answers go to record, which
// several askers call at once, each for the ports that it was given.
type asker interface {
	// holds lists the ports that it has bound and so cannot ask.
	holds() []uint16
	// ask sends a packet to each port and waits for answers, at most that long
	// after the last was sent. Ports that stay silent are not recorded.
	ask(ctx context.Context, ports []uint16, wait time.Duration, tell listener) error
	close()
}

type recorder func(port uint16, answer Answer)

// listener is told what an asker does.
type listener struct {
	record recorder
	// asked is told how many more ports a packet was sent to.
	asked func(ports int)
}

func scan(ctx context.Context, o Options) (*Result, error) {
	if err := ownAddress(o); err != nil {
		return nil, err
	}
	start := time.Now()
	s := &scanner{options: o, result: &Result{Protocol: o.Protocol, Addr: o.Addr, Ports: o.Ports, answers: make([]Answer, 1<<16)}}
	if err := conntrackRoom(o); err != nil {
		return nil, err
	}
	if err := s.chooseEngine(); err != nil {
		return nil, err
	}
	if err := s.settle(ctx); err != nil {
		return nil, err
	}
	if o.Protocol == sock.UDP {
		if err := s.resolveMute(ctx); err != nil {
			return nil, err
		}
	}
	s.result.Took = time.Since(start)
	return s.result, nil
}

// ownAddress refuses to scan what is not the machine's own.
func ownAddress(o Options) error {
	own, why, err := iface.Owns(o.Addr)
	if err == nil && !own {
		err = &NotOwnError{o.Addr, why}
	}
	return err
}

// conntrackRoom refuses a scan that would fill the table of connections which
// netfilter tracks, so that others' were dropped. A UDP datagram keeps an entry
// for half a minute; that of a SYN that is refused is gone with the RST. Without
// rules that track, the table is empty.
func conntrackRoom(o Options) error {
	if o.Protocol != sock.UDP {
		return nil
	}
	read := func(name string) int {
		text, _ := sysctl.Read("net.netfilter." + name)
		n, _ := strconv.Atoi(text)
		return n
	}
	count, limit := read("nf_conntrack_count"), read("nf_conntrack_max")
	if room := limit - count; count > 0 && limit > 0 && room < 2*o.Ports.Len() {
		return &ConntrackError{Room: room, Needed: 2 * o.Ports.Len()}
	}
	return nil
}

// scanner is a scan under way.
type scanner struct {
	options Options
	result  *Result
	open    func(of func(uint16) dislike) (asker, error)

	// seen counts, by port, the rounds in which it answered as open and those in
	// which it was silent.
	seen []tally
	// used is the ports that askers had so far. No later one gets them, so that
	// an open port is proved from another.
	used map[uint16]bool
	// lossy says that a port answered that was silent before.
	lossy bool
}

type tally struct{ opens, silences uint8 }

// chooseEngine tries what the options ask for.
func (s *scanner) chooseEngine() error {
	o := s.options
	local, err := localAddr(o.Addr)
	if err != nil {
		return err
	}
	if o.Protocol == sock.UDP {
		s.result.Engine = Datagram
		s.open = func(of func(uint16) dislike) (asker, error) { return openDatagram(local, o.Addr, of) }
		return nil
	}
	s.open = func(of func(uint16) dislike) (asker, error) { return openConnect(local, o.Addr, of) }
	s.result.Engine = Connect
	if o.Engine == Connect {
		return nil
	}
	raw := func(of func(uint16) dislike) (asker, error) { return openRaw(local, o.Addr, of) }
	trial, err := raw(func(uint16) dislike { return welcome })
	switch {
	case err == nil:
		trial.close()
		s.open, s.result.Engine = raw, Raw
		return nil
	case !errors.Is(err, syscall.EPERM) && !errors.Is(err, syscall.EACCES):
		return err
	case o.Engine == Raw:
		return &NotAllowedError{Raw, err}
	}
	return nil
}

// settle asks in rounds until every port is settled.
func (s *scanner) settle(ctx context.Context) error {
	s.seen, s.used = make([]tally, 1<<16), map[uint16]bool{}
	todo := make([]uint16, 0, s.options.Ports.Len())
	for port := range s.options.Ports.All() {
		todo = append(todo, port)
	}
	for round := 1; len(todo) > 0; round++ {
		wait, progress := silenceWait, func(int) {}
		if round == 1 {
			wait, progress = stragglerWait, s.options.Progress
		}
		answers := make([]Answer, 1<<16)
		asked, err := s.round(ctx, todo, wait, progress, answers)
		if err != nil {
			return err
		}
		todo = s.judge(todo, asked, answers, round == maxRounds)
	}
	return nil
}

// judge takes the answers of a round and returns what has to be asked again.
func (s *scanner) judge(todo []uint16, asked func(uint16) bool, answers []Answer, last bool) []uint16 {
	// Where one that was silent before answers now, packets get lost, and the
	// others' silence proves less.
	enough := uint8(silences)
	for _, port := range todo {
		s.lossy = s.lossy || answers[port].State != Unasked && s.seen[port].silences > 0
	}
	if s.lossy {
		enough = lossySilences
	}
	var again []uint16
	for _, port := range todo {
		answer, seen := answers[port], &s.seen[port]
		switch {
		case answer.State == Open:
			seen.opens++
		case answer.State == Unasked && asked(port):
			seen.silences++
			answer.State = Dropped
		}
		final := last
		switch answer.State {
		case Closed, Rejected:
			final = true
		case Open:
			final = final || seen.opens >= proof
		case Dropped:
			final = final || answer.Errno != 0 || seen.silences >= enough
		}
		if !final {
			again = append(again, port)
			continue
		}
		s.result.answers[port] = answer
	}
	return again
}

// round asks each port once, with askers of this round's own, which do not ask
// the ports that they hold. The function returned says which were asked.
func (s *scanner) round(ctx context.Context, ports []uint16, wait time.Duration, progress func(int), answers []Answer) (asked func(uint16) bool, err error) {
	askers, err := s.openAskers(ports)
	defer func() {
		for _, a := range askers {
			a.close()
		}
	}()
	if err != nil {
		return nil, err
	}
	held := map[uint16]bool{}
	for _, a := range askers {
		for _, port := range a.holds() {
			held[port] = true
		}
	}
	askable := ports
	if len(held) > 0 {
		askable = make([]uint16, 0, len(ports))
		for _, port := range ports {
			if !held[port] {
				askable = append(askable, port)
			}
		}
	}
	if err := askAll(ctx, askers, askable, wait, progress, answers); err != nil {
		return nil, err
	}
	return func(port uint16) bool { return !held[port] }, nil
}

// openAskers opens as many as the ports are worth. They get no port that an
// earlier one had, nor one that is to be asked, as far as there are others.
func (s *scanner) openAskers(ports []uint16) ([]asker, error) {
	const worthwhile = 2048 // below, a second asker takes longer to open than it saves
	n := min(maxAskers, runtime.GOMAXPROCS(0), 1+len(ports)/worthwhile)
	todo := map[uint16]bool{}
	if n == 1 {
		for _, port := range ports {
			todo[port] = true
		}
	}
	of := func(port uint16) dislike {
		switch {
		case todo[port]:
			return wanted
		case s.used[port]:
			return used
		}
		return welcome
	}
	var askers []asker
	for range n {
		a, err := s.open(of)
		if err != nil {
			if len(askers) > 0 && scarce(err) {
				break
			}
			return askers, err
		}
		askers = append(askers, a)
		for _, port := range a.holds() {
			s.used[port] = true
		}
	}
	return askers, nil
}

// askAll gives each asker its part of the ports.
func askAll(ctx context.Context, askers []asker, ports []uint16, wait time.Duration, progress func(int), answers []Answer) error {
	errs := make([]error, len(askers))
	var all sync.WaitGroup
	for i, a := range askers {
		part := ports[len(ports)*i/len(askers) : len(ports)*(i+1)/len(askers)]
		if len(part) == 0 {
			continue
		}
		first, last := part[0], part[len(part)-1]
		record := func(port uint16, answer Answer) {
			// What is not of this part is another's to write.
			if port < first || port > last {
				return
			}
			// An ICMP error says more than that the packet was not sent.
			if answer.State != Dropped || answers[port].State != Rejected {
				answers[port] = answer
			}
		}
		tell := listener{record, progress}
		if i == len(askers)-1 {
			errs[i] = a.ask(ctx, part, wait, tell)
			continue
		}
		all.Go(func() { errs[i] = a.ask(ctx, part, wait, tell) })
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("ask %d ports: %w", len(ports), err)
	}
	return nil
}
