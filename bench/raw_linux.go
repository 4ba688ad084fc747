package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// rawProcessors is how many of Go's processors it takes for both ends to block in
// the kernel while others still run.
const rawProcessors = 6

// raw is what all engines of file descriptors share: a client on the thread that
// measures, and a server on a thread of its own.
type raw struct {
	spec      Spec
	looks     *looks // nil where both stay on their processors
	stop      *atomic.Bool
	stopWatch func() bool
	// files are open until the server has ended, but for those of pipes: a pipe tells
	// of the end by being closed.
	clientFiles, serverFiles []int
	served                   chan error // nil where the kernel is the server
	// atEnd closes what a client has open between operations; nil where that is nothing.
	atEnd func()
}

// rawEngine is an engine of file descriptors.
type rawEngine struct {
	*raw
	client interface {
		run(m *meter, d time.Duration) error
	}
}

// openRaw makes both ends and starts the server on a processor.
func openRaw(ctx context.Context, s Spec, pair topology.Pair) (engine, error) {
	if err := hasFamily(s); err != nil {
		return nil, err
	}
	if err := interrupting(); err != nil {
		return nil, lackingTicks(s, err)
	}
	e := &rawEngine{raw: newRaw(ctx, s)}
	var err error
	switch {
	case s.Transport == ICMP || s.Transport == ICMP6:
		e.client, err = openPing(e.raw)
	case s.Op == CRR || s.Op == CRRGraceful || s.Op == Connect:
		e.client, err = openRawFresh(e.raw, pair.Server)
	case s.Flows > 1:
		e.client, err = openRawFlows(e.raw, pair.Server)
	case s.Op == Stream:
		e.client, err = openRawStream(e.raw, pair.Server)
	case s.Op == Burst:
		e.client, err = openRawBurst(e.raw, pair.Server)
	default:
		e.client, err = openRawTrip(e.raw, pair.Server)
	}
	if err != nil {
		return nil, errors.Join(lacking(s, fmt.Errorf("%s: %w", s.Transport, err)), e.close())
	}
	return e, nil
}

func newRaw(ctx context.Context, s Spec) *raw {
	r := &raw{spec: s, stop: &atomic.Bool{}}
	if s.Placement == topology.Free {
		r.looks = newLooks()
	}
	r.stopWatch = context.AfterFunc(ctx, func() { r.stop.Store(true) })
	return r
}

// run measures on the calling thread.
func (e *rawEngine) run(m *meter, d time.Duration) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	t, err := startTicking()
	if err != nil {
		return lackingTicks(e.spec, err)
	}
	defer t.stop()
	err = e.client.run(m, d)
	if err != nil && m.ctx.Err() != nil {
		return context.Cause(m.ctx)
	}
	return err
}

// pair makes two connected ends, which the engine closes.
func (r *raw) pair() (client, server *rawEnd, err error) {
	client, server, err = rawPairs[r.spec.Transport]()
	if err != nil {
		return nil, nil, err
	}
	r.clientFiles = append(r.clientFiles, client.files()...)
	r.serverFiles = append(r.serverFiles, server.files()...)
	for _, e := range []*rawEnd{client, server} {
		r.use(e)
	}
	return client, server, nil
}

// use makes an end wait as the engine does.
func (r *raw) use(e *rawEnd) {
	e.stop = r.stop
	if e.sockets && r.spec.Engine == RawSpin {
		e.flags = unix.MSG_DONTWAIT
	}
}

func (e *rawEnd) files() []int {
	if e.in == e.out {
		return []int{e.in}
	}
	return []int{e.in, e.out}
}

// serve runs a server on a thread of its own, on a processor. When it fails, the
// client finds the connection closed, and close says why.
func (r *raw) serve(cpu int, server func() error) error {
	ready, served := make(chan error, 1), make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends
		err := topology.Stay(cpu)
		if err != nil {
			ready <- err
			return
		}
		t, err := startTicking()
		if err != nil {
			ready <- lackingTicks(r.spec, err)
			return
		}
		defer t.stop()
		ready <- nil
		if err = server(); err != nil && !r.stop.Load() {
			err = fmt.Errorf("server: %w", err)
		} else {
			err = nil
		}
		r.hangUp(&r.serverFiles)
		served <- err
	}()
	if err := <-ready; err != nil {
		return err
	}
	r.served = served
	return nil
}

// hangUp ends what either end waits in: sockets are shut down, of pipes the own ends
// are closed.
func (r *raw) hangUp(own *[]int) {
	if r.spec.Transport == Pipe {
		closeAll(own)
		return
	}
	for _, files := range [][]int{r.clientFiles, r.serverFiles} {
		for _, fd := range files {
			_ = unix.Shutdown(fd, unix.SHUT_RDWR)
		}
	}
}

func closeAll(files *[]int) {
	for _, fd := range *files {
		_ = unix.Close(fd)
	}
	*files = nil
}

func (r *raw) look(sequence uint64) {
	if r.looks != nil && sequence%lookEvery == 0 {
		r.looks.asClient()
	}
}

func (r *raw) lookAsServer(operation int) {
	if r.looks != nil && operation%lookEvery == 0 {
		r.looks.asServer()
	}
}

// keepWaiting has no deadline to move on: each call counts its own time.
func (r *raw) keepWaiting() error {
	if r.stop.Load() {
		return errStopped
	}
	return nil
}

func (r *raw) failed(sequence uint64, err error) error {
	return fmt.Errorf("%s round trip %d: %w", r.spec.Transport, sequence, err)
}

func (r *raw) remote() (usage, error) { return r.looks.usage(), nil }

func (r *raw) close() error {
	r.stopWatch()
	r.stop.Store(true)
	r.hangUp(&r.clientFiles)
	var err error
	if r.served != nil {
		err = <-r.served
	}
	if r.atEnd != nil {
		r.atEnd()
	}
	closeAll(&r.clientFiles)
	closeAll(&r.serverFiles)
	return err
}
