package tcp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// clsTick is how much earlier than asked a timer of the kernel may seem to
	// have run out: it counts in ticks, of which the longest are 10 ms.
	clsTick = 10 * time.Millisecond
	// clsLook is how often a table of the kernel is looked at that tells
	// nobody when it changes.
	clsLook = 5 * time.Millisecond
	// clsLongest bounds what takes a second or two by a timer of the kernel.
	// It ends before the job's own deadline.
	clsLongest = 8 * time.Second
)

// clsGone is the state of a connection that is in no table of the kernel.
const clsGone = sock.TCPState(0)

// clsState is the state of the connection with these two ends, as the kernel
// lists it, whether a process has it still or not.
func clsState(ctx context.Context, local, remote netip.AddrPort) (sock.TCPState, error) {
	table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.TCP}})
	if err != nil {
		return clsGone, err
	}
	for i := range table.Sockets {
		if s := &table.Sockets[i]; s.Local == local && s.Remote == remote {
			return s.State, nil
		}
	}
	return clsGone, nil
}

// clsReaches waits until a connection is in that state.
func clsReaches(ctx context.Context, local, remote netip.AddrPort, want sock.TCPState) error {
	for last := want; ; {
		state, err := clsState(ctx, local, remote)
		if err == nil {
			if state == want {
				return nil
			}
			last, err = state, clsPause(ctx)
		}
		switch {
		case err != nil && last == want:
			return err
		case err != nil:
			return fmt.Errorf("the connection from %v to %v is in %s and not in %s: %w", local, remote, clsName(last), clsName(want), err)
		}
	}
}

func clsName(state sock.TCPState) string {
	if state == clsGone {
		return "no table of the kernel"
	}
	return state.String()
}

// clsPause lets a little time pass before something is looked at again.
func clsPause(ctx context.Context) error {
	select {
	case <-time.After(clsLook):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// clsPair is a connection of a job, which closes both ends.
type clsPair struct {
	client, server         *sock.Socket
	clientAddr, serverAddr netip.AddrPort
}

// clsConnect returns the two ends of a new connection, to be used outside of a
// spec.
func clsConnect(ctx context.Context) (p clsPair, err error) {
	if p.client, err = sock.New(sock.TCP, sock.IPv4); err != nil {
		return p, err
	}
	if p.server, err = accepted(ctx, p.client); err != nil {
		return p, errors.Join(err, p.client.Close())
	}
	var first, second error
	p.clientAddr, first = p.client.LocalAddr()
	p.serverAddr, second = p.client.PeerAddr()
	if err := errors.Join(first, second); err != nil {
		p.close()
		return p, err
	}
	return p, nil
}

func (p clsPair) close() {
	_ = p.client.Close()
	_ = p.server.Close()
}

// clsEnd ends a connection in the ordinary way, the first of its ends first,
// and waits until that is in TIME_WAIT.
func clsEnd(ctx context.Context, first, second *sock.Socket, firstAddr, secondAddr netip.AddrPort) error {
	if err := first.Close(); err != nil {
		return err
	}
	n, err := second.Recv(ctx, make([]byte, 1), 0)
	switch {
	case err != nil:
		return fmt.Errorf("the end of the stream from %v: %w", firstAddr, err)
	case n != 0:
		return fmt.Errorf("%d bytes came from %v, which sent none", n, firstAddr)
	}
	if err := second.Close(); err != nil {
		return err
	}
	return clsReaches(ctx, firstAddr, secondAddr, sock.TimeWait)
}

// clsMissing says what a job could not have, for its spec to be skipped.
type clsMissing struct{ Name, How, Found string }

func (m clsMissing) skip() {
	GinkgoHelper()
	if m.Name != "" {
		spec.Skip(check.Need{Name: m.Name, How: m.How}, m.Found)
	}
}

// set gives a setting of this thread's network namespace a value.
func (m *clsMissing) set(name, value string) error {
	err := sysctl.Set(name, value)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		*m = clsMissing{name, "run it on a later Linux, on which network namespaces have that setting of their own", err.Error()}
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		*m = clsMissing{check.OwnSettings.Name, check.OwnSettings.How, err.Error()}
	}
	return err
}

// unless is the error of a job, nil where it is for the spec to be skipped.
func (m *clsMissing) unless(err error) error {
	if m.Name != "" {
		return nil
	}
	return err
}
