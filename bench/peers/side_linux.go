package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"time"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/probe/freeport"
	"github.com/loopcheck/loopcheck/probe/portset"
)

// overtime is how long a peer may take beyond the time it measures for: to start, to
// warm up, to sum up.
const overtime = 15 * time.Second

// peerSide is a peer as a side of a comparison.
type peerSide struct {
	peer           *peer
	job            job
	client, server string // paths
	// ready is how long the server may take to open its port, limit how long all may.
	ready, limit time.Duration
}

// newPeerSide looks for the programs of a peer.
func newPeerSide(p *peer, j job) (*peerSide, error) {
	s := &peerSide{peer: p, job: j, ready: readyWithin, limit: j.window + overtime}
	client, server := p.programs(j)
	var err error
	if s.client, err = exec.LookPath(client); err != nil {
		return nil, &notInstalledError{p.name, client}
	}
	if p.server == nil {
		return s, nil
	}
	if s.server, err = exec.LookPath(server); err != nil {
		return nil, &notInstalledError{p.name, server}
	}
	return s, nil
}

// notInstalledError says that a program of a peer is not on PATH.
type notInstalledError struct{ Peer, Program string }

func (e *notInstalledError) Error() string {
	if e.Peer == e.Program {
		return e.Program + " is not installed"
	}
	return fmt.Sprintf("%s is not installed: there is no %s on PATH", e.Peer, e.Program)
}

func (s *peerSide) Name() string { return s.peer.name }

func (s *peerSide) Processors() []int { return s.job.pair.Processors() }

// Restart runs the peer once, its server too.
func (s *peerSide) Restart(ctx context.Context, _ int) (bench.Restart, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.limit, fmt.Errorf("it took longer than %v", s.limit))
	defer cancel()
	j := s.job
	if s.peer.server == nil {
		return s.run(ctx, j, nil)
	}
	ports, err := freeport.Find(ctx, freeport.Options{Ports: somewhere(), Count: len(j.ports)})
	if err != nil {
		return bench.Restart{}, err
	}
	for i, p := range ports {
		j.ports[i] = p.Number
		p.Close()
	}
	server, err := start(ctx, j.pair.Server, s.server, s.peer.server(j)...)
	if err != nil {
		return bench.Restart{}, err
	}
	defer server.end()
	if err := server.awaitPort(ctx, s.ready, s.peer.control, j.ports[0]); err != nil {
		return bench.Restart{}, err
	}
	return s.run(ctx, j, server)
}

// somewhere is a stretch of ports below the usual ephemeral range: they are let go
// before the server takes them, and whoever else asks for free ones begins elsewhere.
func somewhere() portset.Set {
	const lowest, highest, stretch = 10_000, 32_000, 100
	first := uint16(lowest + rand.IntN(highest-lowest))
	return portset.Of(portset.Range{First: first, Last: first + stretch - 1})
}

// run runs the client, with its server there if it takes one.
func (s *peerSide) run(ctx context.Context, j job, server *program) (bench.Restart, error) {
	// A client without a server of its own pins both ends itself.
	cpu := j.pair.Client
	if server == nil {
		cpu = -1
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if server != nil {
		go func() {
			select {
			case <-server.ended:
				if err := server.died(); err != nil {
					cancel(err) // a client may wait for it for ever
				}
			case <-ctx.Done():
			}
		}()
	}
	client, err := start(ctx, cpu, s.client, s.peer.client(j)...)
	if err != nil {
		return bench.Restart{}, err
	}
	defer client.end()
	printed, err := client.wait(ctx)
	if err != nil {
		if server != nil {
			err = errors.Join(err, server.died())
		}
		return bench.Restart{}, err
	}
	var served string
	if s.peer.serverReports {
		if served, err = server.wait(ctx); err != nil {
			return bench.Restart{}, err
		}
	}
	return s.peer.read(j, printed, served)
}
