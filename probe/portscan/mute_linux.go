package portscan

import (
	"context"
	"fmt"
	"time"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// muteBursts is how many datagrams each try sends to a port that keeps silent
// although somebody has it. One is enough on a quiet machine; the more there
// are, the better they stand out from what others send meanwhile.
var muteBursts = []int{1, 1, 4, 16}

// resolveMute finds, among the UDP ports that said nothing, those where a
// datagram arrives. A program that reads without answering and a firewall that
// drops look the same to whoever sends; but on the machine itself a datagram
// that arrived waits in the socket's queue, or was counted when it was read
// (RFC 4113, udpInDatagrams).
func (s *scanner) resolveMute(ctx context.Context) error {
	silent := s.result.Having(Dropped)
	if silent.Len() == 0 {
		return nil
	}
	table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.UDP}})
	if err != nil {
		return fmt.Errorf("find who keeps silent: %w", err)
	}
	taken := map[uint16]bool{}
	for i := range table.Sockets {
		socket := &table.Sockets[i]
		if port := socket.Local.Port(); socket.Takes(s.options.Addr) && silent.Contains(port) && s.result.answers[port].Errno == 0 {
			taken[port] = true
		}
	}
	if len(taken) == 0 {
		return nil
	}
	silently := listener{record: func(uint16, Answer) {}, asked: func(int) {}}
	a, err := s.open(func(uint16) dislike { return welcome })
	if err != nil {
		return err
	}
	defer a.close()
	for port := range taken {
		arrived, err := s.arrives(ctx, port, func() error { return a.ask(ctx, []uint16{port}, 0, silently) })
		if err != nil {
			return fmt.Errorf("see whether a datagram arrives at port %d: %w", port, err)
		}
		if arrived {
			s.result.answers[port] = Answer{State: Open, Mute: true}
		}
	}
	return nil
}

// arrives sends datagrams to a port that somebody has and says whether they got
// there.
func (s *scanner) arrives(ctx context.Context, port uint16, send func() error) (bool, error) {
	for _, burst := range muteBursts {
		idle, err := s.received(ctx, port)
		if err != nil {
			return false, err
		}
		before, err := s.received(ctx, port)
		if err != nil {
			return false, err
		}
		for range burst {
			if err := send(); err != nil {
				return false, err
			}
		}
		after, err := s.awaitReceived(ctx, port, before)
		if err != nil {
			return false, err
		}
		others, moved := before.counted-idle.counted, after.counted-before.counted
		switch {
		case after.waiting > before.waiting:
			return true, nil
		case moved == 0:
			// Nobody received anything at all.
			return false, nil
		case moved >= int64(burst) && others < int64(burst):
			return true, nil
		}
	}
	// Others send too much for this one to be told apart. Somebody has the port,
	// and most ports that somebody has can be reached.
	return true, nil
}

// reception is what a port and its namespace have received.
type reception struct {
	waiting uint64 // bytes in the queues of the port's sockets
	counted int64  // datagrams that programs read, or that were thrown away
}

// awaitReceived takes a reception that differs from an earlier one, or after a
// moment any: a program that took a datagram from the queue counts it only
// after it was copied, and may lose its processor in between.
func (s *scanner) awaitReceived(ctx context.Context, port uint16, before reception) (reception, error) {
	const moment = 20 * time.Millisecond
	for until := time.Now().Add(moment); ; {
		now, err := s.received(ctx, port)
		if err != nil || now != before || time.Now().After(until) {
			return now, err
		}
	}
}

func (s *scanner) received(ctx context.Context, port uint16) (reception, error) {
	var r reception
	table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.UDP}})
	if err != nil {
		return r, err
	}
	for i := range table.Sockets {
		if socket := &table.Sockets[i]; socket.Local.Port() == port && socket.Takes(s.options.Addr) {
			r.waiting += uint64(socket.ReceiveQueue)
		}
	}
	// The queue is read first: what leaves it in between is counted afterwards.
	now, err := counters.Read()
	if err != nil {
		return r, err
	}
	for _, group := range []string{"Udp", "Udp6"} {
		r.counted += now[group]["InDatagrams"] + now[group]["InErrors"]
	}
	return r, nil
}
