package stage

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// Arrival is what became of a connection.
type Arrival struct {
	// Accepted says that it came to where it was waited for.
	Accepted bool `json:"accepted"`
	// Original is where it was sent by what the kernel tells a program there
	// (SO_ORIGINAL_DST, linux/netfilter_ipv4.h); the zero AddrPort where nothing
	// was translated, or where the program is not on the machine.
	Original netip.AddrPort `json:"original,omitzero"`
}

// arrivalTimeout bounds the wait for a connection, which is there within
// microseconds, or never.
const arrivalTimeout = time.Second

type arrivalOrder struct {
	From string         `json:"from"`
	To   netip.AddrPort `json:"to"`
	At   netip.AddrPort `json:"at"`
	// Where is the zone that has the address At.
	Where string `json:"where"`
}

// Arrive opens a TCP connection from a zone's host, or from the machine, to an
// address, waits for it at another, of the machine or of a zone's host, and says
// what the program there is told.
func (s *Stage) Arrive(ctx context.Context, from string, to, at netip.AddrPort) (Arrival, error) {
	o := arrivalOrder{From: from, To: to, At: at, Where: Machine}
	for name, z := range s.zones {
		for _, m := range z.Machine {
			if Host(m) == at.Addr() {
				o.Where = name
			}
		}
	}
	a, err := arrive.Call(ctx, s.Sandbox, Machine, o)
	if err != nil {
		return a, fmt.Errorf("connect from %s to %s: %w", from, to, err)
	}
	return a, nil
}

var arrive = sandbox.Register("stage/arrive", func(ctx context.Context, in *sandbox.Inside, o arrivalOrder) (Arrival, error) {
	ctx, cancel := context.WithTimeout(ctx, arrivalTimeout)
	defer cancel()
	return arriveInside(ctx, in, o)
})
