package nfnl

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// ErrTorn says that a list changed while it was read (NLM_F_DUMP_INTR,
// netlink(7)).
var ErrTorn = errors.New("the list changed while it was read")

// Conn is a netlink socket of the network namespace that the thread was in that
// opened it.
type Conn struct{ conn *netlink.Conn }

// Dial opens a socket in the calling thread's network namespace.
func Dial() (*Conn, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, nil)
	if err != nil {
		return nil, fmt.Errorf("open an nfnetlink socket: %w", err)
	}
	return &Conn{conn}, nil
}

// Close closes the socket. Tables that it owns go with it.
func (c *Conn) Close() error { return c.conn.Close() }

// Netlink is the socket itself.
func (c *Conn) Netlink() *netlink.Conn { return c.conn }

// List asks for all there is of something and hands each entry to add. The
// error wraps ErrTorn where the list does not hold together.
func (c *Conn) List(ctx context.Context, m Message, add func(family uint8, attributes []byte) error) error {
	m.Flags |= netlink.Dump
	return c.ask(ctx, m, add)
}

// Get asks for one thing.
func (c *Conn) Get(ctx context.Context, m Message, add func(family uint8, attributes []byte) error) error {
	return c.ask(ctx, m, add)
}

// ListLong is List for what is long: it takes as much at a time as the kernel
// gives (32 KiB), because the kernel looks for its place from the start each
// time.
func (c *Conn) ListLong(ctx context.Context, m Message, add func(attributes []byte)) error {
	const most = 32 << 10
	stop := EndWith(ctx, c.conn)
	defer stop()
	m.Flags |= netlink.Dump
	sent, err := c.conn.Send(m.netlink())
	if err != nil {
		return err
	}
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return err
	}
	buffer := make([]byte, 2*most)
	for {
		var n int
		var readErr error
		err := raw.Read(func(fd uintptr) bool {
			n, _, readErr = ignoringInterrupts(func() (int, unix.Sockaddr, error) {
				return unix.Recvfrom(int(fd), buffer, unix.MSG_DONTWAIT)
			})
			return !errors.Is(readErr, unix.EAGAIN)
		})
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			return err
		case readErr != nil:
			return os.NewSyscallError("recvfrom", readErr)
		}
		done, err := takePage(buffer[:n], sent.Header.Sequence, add)
		if done || err != nil {
			return err
		}
	}
}

// takePage hands out the messages of a page of a list, and says whether it was
// the last.
func takePage(page []byte, sequence uint32, add func(attributes []byte)) (done bool, err error) {
	messages, err := syscall.ParseNetlinkMessage(page)
	if err != nil {
		return false, fmt.Errorf("netlink message: %w", err)
	}
	for _, m := range messages {
		switch {
		case m.Header.Seq != sequence:
		case m.Header.Type == unix.NLMSG_DONE:
			return true, nil
		case m.Header.Type == unix.NLMSG_ERROR && len(m.Data) >= 4:
			if errno := -int32(binary.NativeEndian.Uint32(m.Data)); errno != 0 {
				return true, syscall.Errno(errno)
			}
			return true, nil
		default:
			_, attributes, err := Split(m.Data)
			if err != nil {
				return true, err
			}
			add(attributes)
		}
	}
	return false, nil
}

func (c *Conn) ask(ctx context.Context, m Message, add func(uint8, []byte) error) error {
	stop := EndWith(ctx, c.conn)
	defer stop()
	replies, err := c.conn.Execute(m.netlink())
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return err
	}
	torn := false
	for _, reply := range replies {
		torn = torn || reply.Header.Flags&netlink.DumpInterrupted != 0
		family, attributes, err := Split(reply.Data)
		if err != nil {
			return err
		}
		if err := add(family, attributes); err != nil {
			return err
		}
	}
	if torn {
		return ErrTorn
	}
	return nil
}

// EndWith makes reads of a socket end with the context, until stop.
func EndWith(ctx context.Context, conn *netlink.Conn) (stop func()) {
	begun := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(begun)
		// It fails only on a closed socket, on which nobody waits.
		_ = conn.SetReadDeadline(time.Unix(1, 0))
	})
	return func() {
		if !cancel() {
			<-begun
		}
		_ = conn.SetReadDeadline(time.Time{})
	}
}

// Refusal is why the kernel took one message of a transaction amiss.
type Refusal struct {
	// Index is the message's; -1 where the transaction as a whole was refused.
	Index int
	Err   syscall.Errno
}

// Transact sends messages as one transaction: all of it takes effect, or, where
// there are refusals or an error, nothing of it (nfnetlink_rcv_batch,
// net/netfilter/nfnetlink.c).
func (c *Conn) Transact(messages []Message) ([]Refusal, error) {
	if len(messages) == 0 {
		return nil, nil
	}
	batch := make([]netlink.Message, 0, len(messages)+2)
	batch = append(batch, boundary(unix.NFNL_MSG_BATCH_BEGIN))
	for _, m := range messages {
		// Without it the kernel answers only what it refuses, and silence would
		// not tell that it has read to the end.
		if len(batch) == len(messages) {
			m.Flags |= netlink.Acknowledge
		}
		batch = append(batch, m.netlink())
	}
	batch = append(batch, boundary(unix.NFNL_MSG_BATCH_END))
	sent, err := c.conn.SendMessages(batch)
	if err != nil {
		return nil, fmt.Errorf("send a transaction of %d messages: %w", len(messages), err)
	}
	return c.answers(sent)
}

// Room makes the socket hold a transaction of so many bytes, by the sum of the
// messages' Size, or as many as this user may have, and says how many that are.
// A transaction is one packet. The limit net.core.wmem_max is for everyone who
// is not root outside of user namespaces (socket(7), SO_SNDBUFFORCE).
func (c *Conn) Room(size int) (int, error) {
	const spare = 1 << 10 // for the two boundaries, and what the kernel keeps
	if err := c.conn.SetWriteBuffer(size + spare); err != nil {
		return 0, fmt.Errorf("make room for a transaction of %d bytes: %w", size, err)
	}
	room, err := c.conn.WriteBuffer()
	if err != nil {
		return 0, fmt.Errorf("ask how large a transaction may be: %w", err)
	}
	return room - spare, nil
}

func boundary(kind netlink.HeaderType) netlink.Message {
	return netlink.Message{
		Header: netlink.Header{Type: kind, Flags: netlink.Request},
		Data:   binary.BigEndian.AppendUint16([]byte{unix.AF_UNSPEC, 0}, SubsystemTables),
	}
}

// answers reads what the kernel said to a batch. It has said all when sendmsg(2)
// returns, so that nothing is waited for.
func (c *Conn) answers(batch []netlink.Message) ([]Refusal, error) {
	index := map[uint32]int{}
	for i, m := range batch {
		index[m.Header.Sequence] = i - 1
	}
	var refusals []Refusal
	acknowledged := false
	err := ReadNow(c.conn, func(m syscall.NetlinkMessage) {
		if m.Header.Type != unix.NLMSG_ERROR || len(m.Data) < 4 {
			return
		}
		i, ours := index[m.Header.Seq]
		if !ours {
			return
		}
		errno := -int32(binary.NativeEndian.Uint32(m.Data))
		switch {
		case errno != 0:
			refusals = append(refusals, Refusal{Index: min(i, len(batch)-2), Err: syscall.Errno(errno)})
		default:
			acknowledged = true
		}
	})
	switch {
	case len(refusals) > 0:
		return refusals, nil
	case err != nil:
		return nil, fmt.Errorf("read the answer to a transaction: %w", err)
	case !acknowledged:
		return nil, errors.New("the kernel did not acknowledge the transaction")
	}
	return nil, nil
}

// ReadNow hands out the messages that wait in a socket, without waiting for
// more.
func ReadNow(conn *netlink.Conn, add func(syscall.NetlinkMessage)) error {
	for {
		more, err := ReadOne(conn, false, add)
		if err != nil || !more {
			return err
		}
	}
}

// ReadOne hands out the messages of one packet. It waits for the packet, until
// the socket's read deadline, or says that there is none.
func ReadOne(conn *netlink.Conn, wait bool, add func(syscall.NetlinkMessage)) (read bool, err error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return false, err
	}
	var packet []byte
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		packet, readErr = receive(int(fd))
		return !wait || !errors.Is(readErr, unix.EAGAIN)
	})
	switch {
	case err != nil:
		return false, err
	case errors.Is(readErr, unix.EAGAIN):
		return false, nil
	case readErr != nil:
		return false, os.NewSyscallError("recvfrom", readErr)
	}
	messages, err := syscall.ParseNetlinkMessage(packet)
	if err != nil {
		return true, fmt.Errorf("netlink message: %w", err)
	}
	for _, m := range messages {
		add(m)
	}
	return true, nil
}

// receive takes one packet, whatever its size.
func receive(fd int) ([]byte, error) {
	size, _, err := ignoringInterrupts(func() (int, unix.Sockaddr, error) {
		return unix.Recvfrom(fd, nil, unix.MSG_PEEK|unix.MSG_TRUNC|unix.MSG_DONTWAIT)
	})
	if err != nil {
		return nil, err
	}
	packet := make([]byte, size)
	n, _, err := ignoringInterrupts(func() (int, unix.Sockaddr, error) {
		return unix.Recvfrom(fd, packet, unix.MSG_DONTWAIT)
	})
	return packet[:max(n, 0)], err
}

func ignoringInterrupts(call func() (int, unix.Sockaddr, error)) (int, unix.Sockaddr, error) {
	for {
		n, from, err := call()
		if !errors.Is(err, unix.EINTR) {
			return n, from, err
		}
	}
}
