package nftrace

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/nfnl"
)

// receiveBuffer holds some thousand messages, each of which takes about a
// kilobyte of it. The kernel doubles it (socket(7), SO_RCVBUF).
const receiveBuffer = 4 << 20

// Reader reads the trace messages of one network namespace. It is for one
// goroutine at a time.
type Reader struct{ conn *netlink.Conn }

// Open subscribes to the trace messages of the calling thread's network
// namespace. Once it returns, none is missed but for want of room. The error is
// a *PermissionError without CAP_NET_ADMIN.
func Open() (*Reader, error) {
	const attempt = "subscribe to nf_tables trace messages"
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, denied(attempt, err)
	}
	// Less room loses messages, and that is told.
	_ = conn.SetReadBuffer(receiveBuffer)
	if err := conn.JoinGroup(unix.NFNLGRP_NFTRACE); err != nil {
		return nil, errors.Join(denied(attempt, err), conn.Close())
	}
	return &Reader{conn}, nil
}

// Close ends the subscription. Reads under way fail.
func (r *Reader) Close() error { return r.conn.Close() }

// Gather reads until enough says so, or the context ends: then it returns what
// it has with the context's error. After each message it asks enough about the
// packet that the message was of, as far as it is known by then.
func (r *Reader) Gather(ctx context.Context, enough func(Packet) bool) (*Trace, error) {
	stop := nfnl.EndWith(ctx, r.conn)
	defer stop()
	var g collector
	g.enough = enough
	for {
		_, err := nfnl.ReadOne(r.conn, true, g.add)
		if err = g.lost(err); err != nil {
			if ctx.Err() != nil {
				err = ctx.Err()
			}
			return g.trace(), fmt.Errorf("read nf_tables trace messages: %w", err)
		}
		if g.done {
			return g.trace(), nil
		}
	}
}

// Pending reads what has come already, without waiting. The kernel writes a
// message while the packet is in the rule, so that what is known to have passed
// has been reported: after sendto(2) returned, for one, all rules of output and
// postrouting.
func (r *Reader) Pending() (*Trace, error) {
	var g collector
	for {
		more, err := nfnl.ReadOne(r.conn, false, g.add)
		if err = g.lost(err); err != nil {
			return g.trace(), fmt.Errorf("read nf_tables trace messages: %w", err)
		}
		if !more && g.settled() {
			return g.trace(), nil
		}
	}
}

// collector takes messages as they are read.
type collector struct {
	result   Trace
	gatherer Gatherer
	// enough is asked about every packet that a message was of, until it says
	// yes, which done tells.
	enough func(Packet) bool
	done   bool
	// overrun says that the last read told of a loss instead of bringing
	// messages.
	overrun bool
}

func (c *collector) add(m syscall.NetlinkMessage) {
	c.overrun = false
	if m.Header.Type != nfnl.SubsystemTables<<8|nfnl.Trace {
		return
	}
	e, err := Decode(m.Data)
	if err != nil {
		c.result.Undecoded = append(c.result.Undecoded, err.Error())
		return
	}
	c.result.Events = append(c.result.Events, e)
	p := c.gatherer.Add(e)
	if c.enough != nil && !c.done {
		c.done = c.enough(p)
	}
}

// lost counts the kernel's report of a loss, after which reading goes on.
func (c *collector) lost(err error) error {
	if errors.Is(err, syscall.ENOBUFS) {
		c.result.Losses++
		c.overrun = true
		return nil
	}
	return err
}

// settled is false once after a report of a loss, behind which messages wait.
func (c *collector) settled() bool {
	settled := !c.overrun
	c.overrun = false
	return settled
}

func (c *collector) trace() *Trace {
	t := c.result
	t.Packets = c.gatherer.Packets()
	return &t
}
