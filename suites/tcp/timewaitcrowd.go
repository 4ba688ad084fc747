package tcp

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// clsOverfill closes more connections than may be in TIME_WAIT.
func clsOverfill(ctx context.Context, _ *sandbox.Inside) (seen clsCrowded, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := seen.set("net.ipv4.tcp_max_tw_buckets", strconv.Itoa(clsBuckets)); err != nil {
		return seen, seen.unless(err)
	}
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	for range clsEnded {
		if err := clsCloseBoth(ctx); err != nil {
			return seen, err
		}
	}
	after, err := counters.Read()
	if err != nil {
		return seen, err
	}
	table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{socktable.TCP}, States: []sock.TCPState{sock.TimeWait}})
	if err != nil {
		return seen, err
	}
	seen.Waiting = len(table.Sockets)
	seen.Overflows, err = after.Sub(before).Get("TcpExt", "TCPTimeWaitOverflow")
	return seen, err
}

// clsCloseBoth makes a connection, closes both ends in the ordinary way, and
// waits until neither is in any state but TIME_WAIT.
func clsCloseBoth(ctx context.Context) error {
	p, err := clsConnect(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	if err := p.client.Close(); err != nil {
		return err
	}
	if _, err := p.server.Recv(ctx, make([]byte, 1), 0); err != nil {
		return fmt.Errorf("the end of the stream from %v: %w", p.clientAddr, err)
	}
	if err := p.server.Close(); err != nil {
		return err
	}
	for {
		state, err := clsState(ctx, p.clientAddr, p.serverAddr)
		if err != nil || state == sock.TimeWait || state == clsGone {
			return errors.Join(err, clsReaches(ctx, p.serverAddr, p.clientAddr, clsGone))
		}
		if err := clsPause(ctx); err != nil {
			return fmt.Errorf("the connection from %v is in %s: %w", p.clientAddr, clsName(state), err)
		}
	}
}
