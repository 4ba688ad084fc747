package ports

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/echo"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// heldPort says what became of an attempt to take a port that is held.
type heldPort struct {
	PID    int
	Err    string
	InUse  bool
	Holder string
}

// takeHeld takes the port while a socket of the same process holds it.
var takeHeld = sandbox.Register("ports/take-held", func(ctx context.Context, _ *sandbox.Inside, kind sock.Kind) (heldPort, error) {
	at := sock.IPv4.Loopback(dynamicPort)
	first, err := start(ctx, kind, at)
	if err != nil {
		return heldPort{}, err
	}
	defer first.Close()
	second, err := take(ctx, func() (*echo.Server, error) { return start(ctx, kind, at) })
	if err == nil {
		return heldPort{}, errors.Join(errors.New("the port was taken from its holder"), second.Close())
	}
	return heldPort{PID: os.Getpid(), Err: err.Error(), InUse: inUse(err), Holder: holder(ctx, kind, at)}, nil
})

// takeInTurn takes the port from a holder that lets it go when it was asked for
// it once, and returns how often it was.
var takeInTurn = sandbox.Register("ports/take-in-turn", func(ctx context.Context, _ *sandbox.Inside, kind sock.Kind) (tries int, err error) {
	at := sock.IPv4.Loopback(dynamicPort)
	first, err := start(ctx, kind, at)
	if err != nil {
		return 0, err
	}
	second, err := take(ctx, func() (*echo.Server, error) {
		tries++
		server, err := start(ctx, kind, at)
		return server, errors.Join(err, first.Close())
	})
	if err != nil {
		return tries, err
	}
	return tries, errors.Join(echoed(ctx, kind, at), second.Close())
})

func inSandbox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	s := sandboxtest.Start(t, sandbox.Config{})
	return s
}

func TestHolderOfThePortIsNamed(t *testing.T) {
	s := inSandbox(t)
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			got, err := takeHeld.Call(t.Context(), s, "", kind)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got.InUse).To(BeTrue())
			g.Expect(got.Err).To(ContainSubstring("127.0.0.1:62893"))
			g.Expect(got.Holder).To(ContainSubstring(fmt.Sprintf("held by %s 127.0.0.1:62893", kind)))
			g.Expect(got.Holder).To(ContainSubstring(fmt.Sprintf("(pid %d, ", got.PID)))
		})
	}
}

func TestPortIsTakenInTurn(t *testing.T) {
	s := inSandbox(t)
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			NewWithT(t).Expect(takeInTurn.Call(t.Context(), s, "", kind)).To(Equal(2), "times that it was asked for")
		})
	}
}
