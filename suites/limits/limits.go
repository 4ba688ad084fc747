// Package limits holds the checks of what happens at the edges: descriptors
// that run out, windows that close, packets that do not fit, and whether the
// kernel counts what it does.
package limits

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("limits", "Limits: exhaustion, counters, MTU", 65)

const (
	// patience bounds a handful of segments or datagrams. They take
	// microseconds; the rest is for one lost SYN, which is sent again after a
	// second (RFC 6298), and for a machine whose processors are busy elsewhere.
	patience = 3 * time.Second
	// settling is how long a counter is given that has not moved as far as it
	// should. It has by the time that it is first looked at, unless another
	// processor still works on the last packet.
	settling = time.Second
)

// listening returns a listener on a free port of 127.0.0.1, for use in a
// sandbox; the caller closes it. Prepare may set options that the connections
// inherit.
func listening(backlog int, prepare func(*sock.Socket) error) (*sock.Socket, netip.AddrPort, error) {
	s, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	if prepare != nil {
		err = prepare(s)
	}
	if err := errors.Join(err, s.Bind(sock.IPv4.Loopback(0)), s.Listen(backlog)); err != nil {
		return nil, netip.AddrPort{}, errors.Join(err, s.Close())
	}
	addr, err := s.LocalAddr()
	return s, addr, err
}

// connected returns a client of the listener, for use in a sandbox; the caller
// closes it.
func connected(ctx context.Context, to netip.AddrPort) (*sock.Socket, error) {
	family := sock.IPv4
	if to.Addr().Is6() {
		family = sock.IPv6
	}
	s, err := sock.New(sock.TCP, family)
	if err != nil {
		return nil, err
	}
	if err := s.Connect(ctx, to); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// joined returns the two ends of a new connection, for use in a sandbox, where
// nobody else connects; the caller closes both.
func joined(ctx context.Context, prepare func(*sock.Socket) error) (client, server *sock.Socket, err error) {
	listener, addr, err := listening(8, prepare)
	if err != nil {
		return nil, nil, err
	}
	defer listener.Close()
	if client, err = connected(ctx, addr); err != nil {
		return nil, nil, err
	}
	if server, err = listener.Accept(ctx); err != nil {
		return nil, nil, errors.Join(err, client.Close())
	}
	return client, server, nil
}

// datagramPair returns two UDP sockets on 127.0.0.1 that are connected to each
// other; the caller closes both.
func datagramPair(family sock.Family) (sender, receiver *sock.Socket, err error) {
	var ends [2]*sock.Socket
	var at [2]netip.AddrPort
	defer func() {
		if err != nil {
			for _, s := range ends {
				if s != nil {
					_ = s.Close()
				}
			}
		}
	}()
	for i := range ends {
		if ends[i], err = sock.New(sock.UDP, family); err != nil {
			return nil, nil, err
		}
		if err = ends[i].Bind(family.Loopback(0)); err != nil {
			return nil, nil, err
		}
		if at[i], err = ends[i].LocalAddr(); err != nil {
			return nil, nil, err
		}
	}
	return ends[0], ends[1], errors.Join(ends[0].StartConnect(at[1]), ends[1].StartConnect(at[0]))
}

// hostPair is datagramPair for a spec, which records what it will send.
func hostPair(family sock.Family) (sender, receiver *sock.Socket) {
	GinkgoHelper()
	spec.Flow("udp", family.Loopback(0))
	sender, receiver, err := datagramPair(family)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(sender.Close)
	DeferCleanup(receiver.Close)
	return sender, receiver
}

// pattern is an endless stream of bytes, the same for the same number.
func pattern(number uint64) io.Reader {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], number)
	return rand.NewChaCha8(key)
}

// comparison is a stream that has to be that of a pattern.
type comparison struct {
	want io.Reader
	seen int
}

// take compares the bytes that come next.
func (c *comparison) take(got []byte) error {
	want := make([]byte, len(got))
	if _, err := io.ReadFull(c.want, want); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		at := 0
		for got[at] == want[at] {
			at++
		}
		return fmt.Errorf("byte %d is %#02x and was sent as %#02x", c.seen+at, got[at], want[at])
	}
	c.seen += len(got)
	return nil
}

// counter is one of the kernel's, by its group and name in counters.Snapshot.
type counter struct{ group, name string }

func (c counter) String() string { return c.group + " " + c.name }

// movedTo reads how far counters of the calling thread's network namespace have
// moved since a snapshot, as soon as the condition holds, or after settling.
func movedTo(ctx context.Context, before counters.Snapshot, holds func(moved map[counter]int64) bool, which ...counter) (map[counter]int64, error) {
	ctx, cancel := context.WithTimeout(ctx, settling)
	defer cancel()
	for {
		now, err := counters.Read()
		if err != nil {
			return nil, err
		}
		moved := map[counter]int64{}
		diff := now.Sub(before)
		for _, c := range which {
			if moved[c], err = diff.Get(c.group, c.name); err != nil {
				return nil, err
			}
		}
		if holds(moved) || ctx.Err() != nil {
			return moved, nil
		}
		time.Sleep(time.Millisecond) // nothing tells of a counter
	}
}

// errnoOf is the kernel's own word in an error, which it returns as well where
// there is none.
func errnoOf(err error) (syscall.Errno, error) {
	if errno, is := errors.AsType[syscall.Errno](err); is {
		return errno, nil
	}
	return 0, err
}
