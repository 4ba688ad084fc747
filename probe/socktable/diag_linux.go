package socktable

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// diagBuffer is the largest piece in which the kernel sends a list; it makes
// the pieces as large as the reader's buffer, up to this (netlink_recvmsg,
// net/netlink/af_netlink.c).
const diagBuffer = 32 << 10

// dumpTries bounds how often a list is asked for that changes while it is read.
const dumpTries = 5

// errTorn says that a list does not hold together (NLM_F_DUMP_INTR,
// netlink(7)).
var errTorn = fmt.Errorf("changed each of the %d times it was read", dumpTries)

// diag asks the kernel for lists of sockets, one after the other.
type diag struct{ conn *netlink.Conn }

// openDiag opens a netlink socket in the calling thread's network namespace.
func openDiag() (*diag, error) {
	conn, err := netlink.Dial(unix.NETLINK_SOCK_DIAG, &netlink.Config{MessageBufferSize: diagBuffer})
	if err != nil {
		return nil, fmt.Errorf("open a sock_diag socket: %w", err)
	}
	return &diag{conn}, nil
}

func (d *diag) close() { _ = d.conn.Close() }

// list asks for a list and hands each entry to add, which must not keep it. It
// begins anew, and calls restart before, when the list changed meanwhile.
func (d *diag) list(ctx context.Context, request []byte, restart func(), add func([]byte) error) error {
	stop := d.endWith(ctx)
	defer stop()
	return untorn(func() error {
		restart()
		if err := ctx.Err(); err != nil {
			return err
		}
		sent, err := d.conn.Send(netlink.Message{
			Header: netlink.Header{Type: unix.SOCK_DIAG_BY_FAMILY, Flags: netlink.Request | netlink.Dump},
			Data:   request,
		})
		if err != nil {
			return cause(ctx, err)
		}
		return cause(ctx, collect(d.conn.ReceiveIter(), sent.Header.Sequence, add))
	})
}

// endWith makes every wait on the socket end with the context, until stop.
func (d *diag) endWith(ctx context.Context) (stop func()) {
	begun := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(begun)
		// It fails only on a closed socket, on which nobody waits.
		_ = d.conn.SetDeadline(time.Unix(1, 0))
	})
	return func() {
		if !cancel() {
			<-begun
		}
	}
}

// cause is the context's error where that ended the wait.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// untorn repeats what returns errTorn, within bounds.
func untorn(attempt func() error) error {
	var err error
	for range dumpTries {
		if err = attempt(); !errors.Is(err, errTorn) {
			return err
		}
	}
	return err
}

// collect hands every entry of the answer to add, and returns errTorn after
// the last where the kernel marked one.
func collect(messages iter.Seq2[netlink.Message, error], sequence uint32, add func([]byte) error) error {
	torn := false
	for m, err := range messages {
		if err != nil {
			return err
		}
		if m.Header.Sequence != sequence || m.Header.Type != unix.SOCK_DIAG_BY_FAMILY {
			continue
		}
		torn = torn || m.Header.Flags&netlink.DumpInterrupted != 0
		if err := add(m.Data); err != nil {
			return err
		}
	}
	if torn {
		return errTorn
	}
	return nil
}
