package listeners

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// watched opens and closes a listener of each protocol under a watch, waiting
// for what is told of each, and returns the lines of it. One more is open
// before the watch and all along.
var watched = sandbox.Register("listeners/watch", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) ([]string, error) {
	constant, err := net.Listen("tcp4", "127.0.0.1:1000")
	if err != nil {
		return nil, err
	}
	defer constant.Close()
	before, err := Read(ctx)
	if err != nil {
		return nil, err
	}
	events, ended := make(chan Event), make(chan error, 1)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		ended <- Watch(ctx, before, time.Millisecond, func(e Event) error {
			events <- e
			return nil
		})
	}()
	var told []string
	await := func() error {
		select {
		case e := <-events:
			told = append(told, fmt.Sprintf("%v %s %s %s %d owners", e.Opened, e.Listener.Protocol, e.Listener.AddrPort(), e.Listener.Scope, len(e.Listener.Owners)))
			return nil
		case err := <-ended:
			return fmt.Errorf("the watch ended: %w", err)
		}
	}
	for _, open := range []func() (interface{ Close() error }, error){
		func() (interface{ Close() error }, error) { return net.Listen("tcp4", "127.0.0.1:62893") },
		func() (interface{ Close() error }, error) { return net.ListenPacket("udp4", "0.0.0.0:62893") },
	} {
		socket, err := open()
		if err != nil {
			return told, err
		}
		if err := await(); err != nil {
			return told, err
		}
		if err := socket.Close(); err != nil {
			return told, err
		}
		if err := await(); err != nil {
			return told, err
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		return told, fmt.Errorf("the watch ended with %w", err)
	}
	return told, nil
})

func TestWatchTellsWhatOpensAndCloses(t *testing.T) {
	g := NewWithT(t)
	told, err := watched.Call(t.Context(), machine(t), "", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(told).To(Equal([]string{
		"true tcp 127.0.0.1:62893 loopback 1 owners",
		"false tcp 127.0.0.1:62893 loopback 1 owners",
		"true udp 0.0.0.0:62893 every 1 owners",
		"false udp 0.0.0.0:62893 every 1 owners",
	}))
}

// reopened closes a listener and opens another at its address before the watch
// looks for the first time.
var reopened = sandbox.Register("listeners/reopened", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (told []bool, err error) {
	open := func() (net.Listener, error) { return net.Listen("tcp4", "127.0.0.1:62893") }
	first, err := open()
	if err != nil {
		return nil, err
	}
	before, err := Read(ctx)
	if err != nil {
		return nil, err
	}
	if err := first.Close(); err != nil {
		return nil, err
	}
	second, err := open()
	if err != nil {
		return nil, err
	}
	defer second.Close()
	enough := errors.New("enough")
	err = Watch(ctx, before, time.Hour, func(e Event) error {
		told = append(told, e.Opened)
		if len(told) == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		return told, fmt.Errorf("the watch ended with %w", err)
	}
	return told, nil
})

func TestWatchTellsASocketFromItsSuccessor(t *testing.T) {
	g := NewWithT(t)
	told, err := reopened.Call(t.Context(), machine(t), "", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(told).To(Equal([]bool{false, true}), "closed, then opened")
}

// shortLived describes a listener that is gone before its owner is looked up.
var shortLived = sandbox.Register("listeners/short-lived", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) ([]Listener, error) {
	socket, err := net.Listen("tcp4", "10.9.9.9:62893")
	if err != nil {
		return nil, err
	}
	w := watch{gaps: -1}
	now, _, err := w.list(ctx)
	if err != nil {
		return nil, err
	}
	if err := socket.Close(); err != nil {
		return nil, err
	}
	return describeNew(ctx, now, byCookie)
})

func TestShortLivedListenerIsToldAllTheSame(t *testing.T) {
	g := NewWithT(t)
	all, err := shortLived.Call(t.Context(), machine(t), "", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(all).To(HaveLen(1))
	g.Expect(all[0].String()).To(Equal("tcp 10.9.9.9:62893, interface eth0, closed before its process could be looked up (user root)"))
}

// BenchmarkLook is what one look of a watch costs on this machine.
func BenchmarkLook(b *testing.B) {
	w := watch{gaps: -1}
	first, _, err := w.list(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	w.present = first
	for b.Loop() {
		if _, err := w.look(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}
