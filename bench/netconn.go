package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/probe/topology"
)

const (
	// sequenceBytes is the part of a payload that tells one from another.
	sequenceBytes = 8
	// replyTimeout is when a response counts as lost. Loopback answers within
	// microseconds; a second is longer than a busy scheduler or TCP's first
	// retransmission keep it.
	replyTimeout = time.Second
	// lastLook is how long is waited once more after that timeout. A machine
	// that stood still for a second, as virtual ones do, finds the timer
	// expired before it has run the server.
	lastLook = 250 * time.Millisecond
)

var loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// netEngine is an engine over Go's net package: a client in this process, on
// goroutines as any program has them, and a server in a process of its own.
type netEngine struct {
	netClient
	ctx    context.Context // ends with the server as well
	cancel context.CancelCauseFunc
	server *serverProcess
	looks  *looks // of the client; nil where it stays on its processor
}

// netClient is the part of an engine that is in this process.
type netClient interface {
	run(m *meter, d time.Duration) error
	close() error
}

// netTrip is an operation over connections that it closes.
type netTrip interface {
	trip
	close() error
}

// openNetConn starts a server and connects a client to it.
func openNetConn(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
	if err := hasFamily(s); err != nil {
		return nil, err
	}
	e := &netEngine{}
	o := orderOf(s, pair)
	if s.Placement == topology.Free {
		e.looks = newLooks()
		var err error
		if o.shared, err = e.looks.share(); err != nil {
			return nil, lacking(s, err)
		}
		defer o.shared.Close() // of nil it is no more than an error
	}
	var err error
	e.ctx, e.cancel = context.WithCancelCause(ctx)
	if e.server, err = startServer(e.ctx, o, pair.Server, e.cancel); err != nil {
		e.cancel(nil)
		e.looks.close()
		return nil, lacking(s, err)
	}
	if e.netClient, err = e.connect(s); err != nil {
		err = e.explain(lacking(s, err))
		e.cancel(nil)
		err = errors.Join(err, e.server.close())
		e.looks.close()
		return nil, err
	}
	return e, nil
}

// connect makes the client of a benchmark.
func (e *netEngine) connect(s Spec) (netClient, error) {
	d := newDialer(s, e.server.hello)
	switch {
	case s.Op == Stream:
		return openStream(e, s, d)
	case s.Op == Burst:
		return openBurst(e, s, d)
	case s.Flows > 1:
		return openFlows(e, s, d)
	}
	t, err := e.trip(s, d, 0)
	if err != nil {
		return nil, err
	}
	return lone{oneByOneOf(s, t), t}, nil
}

// trip makes what one flow repeats.
func (e *netEngine) trip(s Spec, d *dialer, flow int) (netTrip, error) {
	switch {
	case s.Transport == HTTP:
		return openHTTP(e, s, d, flow)
	case s.Op == RR:
		return openNetTrip(e, s, d, flow)
	}
	return openFresh(e, s, d)
}

// lone is a client of one flow.
type lone struct {
	oneByOne
	closer netTrip
}

func (l lone) close() error { return l.closer.close() }

func (e *netEngine) run(m *meter, d time.Duration) error {
	return e.explain(e.netClient.run(m, d))
}

// noticeDeath is how long the end of the server may take to be noticed after its
// sockets were closed: the kernel closes them before its parent is told.
const noticeDeath = 500 * time.Millisecond

// explain says of an error of the client what the server died of, if it did.
func (e *netEngine) explain(err error) error {
	if err == nil {
		return nil
	}
	if isDisconnect(err) {
		timer := time.NewTimer(noticeDeath)
		defer timer.Stop()
		select {
		case <-e.server.ended:
		case <-timer.C:
		}
	}
	if died := e.server.death(); died != nil && !errors.Is(err, died) {
		return fmt.Errorf("%w: %w", died, err)
	}
	return err
}

// isDisconnect says whether an error is what the end of a server looks like.
func isDisconnect(err error) bool {
	for _, target := range []error{io.EOF, io.ErrUnexpectedEOF, syscall.ECONNRESET, syscall.ECONNREFUSED, syscall.EPIPE, net.ErrClosed} {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

func (e *netEngine) remote() (usage, error) {
	u, err := e.server.usage(e.ctx)
	if err != nil {
		return usage{}, err
	}
	seen := e.looks.usage()
	u.ClientSeen, u.Together, u.Looks = seen.ClientSeen, seen.Together, seen.Looks
	return u, nil
}

func (e *netEngine) close() error {
	err := e.netClient.close()
	e.cancel(nil)
	err = errors.Join(err, e.server.close())
	e.looks.close()
	return err
}

// look notes which processor the client is on, now and then.
func (e *netEngine) look(sequence uint64) {
	if e.looks != nil && sequence%lookEvery == 0 {
		e.looks.asClient()
	}
}

// hasFamily says with a *MissingError that there is no ::1.
func hasFamily(s Spec) error {
	if s.Transport != TCP6 && s.Transport != UDP6 && s.Transport != ICMP6 {
		return nil
	}
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		return &MissingError{s, "IPv6 on loopback (::1)", err}
	}
	return c.Close()
}

// lacking makes a *MissingError of what is a limit of this process, not a fault of
// the stack.
func lacking(s Spec, err error) error {
	switch {
	case errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE):
		return &MissingError{s, "more open files (ulimit -n)", err}
	case errors.Is(err, syscall.EAGAIN):
		return &MissingError{s, "another process (ulimit -u)", err}
	}
	return err
}
