package portscan

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/errqueue"
	"github.com/loopcheck/loopcheck/probe/internal/mmsg"
)

const (
	// connectSockets is how many connections one asker has under way at most. A
	// port that is silent keeps one until the next that many were asked; one that
	// answers gives it back at once.
	connectSockets = 32
	// refusedBatch is how many refusals are taken before the error queue is read,
	// which tells an ICMP error from a RST.
	refusedBatch = 64
)

// connectAsker connects a few sockets again and again.
type connectAsker struct {
	sockets []*connector
	to      unix.Sockaddr
	toPort  *int
	errors  *mmsg.Batch
}

// connector is a socket with a port of its own. It keeps the port when it is
// disconnected, because it was bound to it by number: the kernel then searches
// for none at each connect, and the scan takes a few ports of the range only.
type connector struct {
	fd   int
	port uint16
	// asking is the port that it waits for, 0 for none.
	asking uint16
	// refused counts the refusals since its error queue was read.
	refused int
}

func openConnect(local, to netip.Addr, of func(uint16) dislike) (asker, error) {
	a := &connectAsker{errors: mmsg.New(16, 0, errqueue.ControlBytes)}
	a.to, a.toPort = sockaddr(to)
	for range connectSockets {
		c, err := newConnector(local, of)
		switch {
		case scarce(err) && len(a.sockets) > 0:
			return a, nil
		case err != nil:
			a.close()
			return nil, err
		case of(c.port) == wanted && len(a.sockets) > 0:
			_ = unix.Close(c.fd)
			return a, nil
		}
		a.sockets = append(a.sockets, c)
	}
	return a, nil
}

// scarce tells the errors that say that there are no more descriptors, or ports
// that the kernel chooses from. Fewer sockets do as well.
func scarce(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.EADDRINUSE)
}

func newConnector(local netip.Addr, of func(uint16) dislike) (*connector, error) {
	for range bindTries {
		// The kernel chooses a port, and then the socket asks for that one.
		fd, port, err := bindFree(unix.SOCK_STREAM, local, of)
		if err != nil {
			return nil, err
		}
		_ = unix.Close(fd)
		fd, err = unix.Socket(domainOf(local), unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, fmt.Errorf("open a socket: %w", err)
		}
		sa, at := sockaddr(local)
		*at = int(port)
		err = unix.Bind(fd, sa)
		if err == nil {
			err = errqueue.Enable(fd, local.Is6())
		}
		if err == nil {
			return &connector{fd: fd, port: port}, nil
		}
		_ = unix.Close(fd)
		if !errors.Is(err, unix.EADDRINUSE) {
			return nil, fmt.Errorf("bind port %d of %s: %w", port, local, err)
		}
	}
	return nil, fmt.Errorf("bind a port of %s: %w", local, unix.EADDRINUSE)
}

func (a *connectAsker) holds() []uint16 {
	ports := make([]uint16, len(a.sockets))
	for i, c := range a.sockets {
		ports[i] = c.port
	}
	return ports
}

func (a *connectAsker) close() {
	for _, c := range a.sockets {
		// What is still connected ends by a RST and leaves no port in TIME_WAIT.
		_ = c.disconnect()
		_ = unix.Close(c.fd)
	}
}

func (a *connectAsker) ask(ctx context.Context, ports []uint16, wait time.Duration, tell listener) error {
	record, next := tell.record, 0
	for i, port := range ports {
		if i%refusedBatch == 0 {
			if err := ctx.Err(); err != nil {
				return err
			}
			tell.asked(min(refusedBatch, len(ports)-i))
		}
		c := a.sockets[next]
		if c.asking != 0 {
			if err := a.giveUp(c, record); err != nil {
				return err
			}
		}
		if err := a.begin(c, port, record); err != nil {
			return fmt.Errorf("connect to port %d: %w", port, err)
		}
		if c.asking != 0 {
			next = (next + 1) % len(a.sockets)
		}
	}
	if err := a.awaitAll(ctx, wait, record); err != nil {
		return err
	}
	for _, c := range a.sockets {
		if err := a.readErrors(c, record); err != nil {
			return err
		}
	}
	return nil
}

// begin sends a SYN and looks at once what came of it, which over loopback is
// mostly there.
func (a *connectAsker) begin(c *connector, port uint16, record recorder) error {
	*a.toPort = int(port)
	switch err := unix.Connect(c.fd, a.to); err {
	case nil:
		record(port, Answer{State: Open})
		return c.disconnect()
	case unix.EINPROGRESS:
		c.asking = port
		return a.look(c, record)
	case unix.EPERM, unix.EACCES, unix.EINVAL, unix.ENETUNREACH, unix.EHOSTUNREACH:
		record(port, Answer{State: Dropped, Errno: err.(syscall.Errno)})
		return c.disconnect()
	case unix.EADDRNOTAVAIL:
		// A connection in TIME_WAIT has just these two ports. Another round asks
		// from others.
		return c.disconnect()
	default:
		return err
	}
}

// look sees what has come of a connection under way: connect(2) on it says so
// and begins nothing.
func (a *connectAsker) look(c *connector, record recorder) error {
	*a.toPort = int(c.asking)
	port := c.asking
	switch err := unix.Connect(c.fd, a.to); err {
	case unix.ECONNREFUSED:
		record(port, Answer{State: Closed})
		c.asking = 0
		if c.refused++; c.refused >= refusedBatch {
			return a.readErrors(c, record)
		}
		return nil
	case nil, unix.EISCONN, unix.ECONNRESET, unix.EPIPE:
		// Where it was reset it had stood.
		record(port, Answer{State: Open})
		c.asking = 0
		return c.disconnect()
	case unix.EALREADY:
		// An ICMP error that came within connect(2) is in the queue, and the kernel
		// goes on to send SYNs.
		found := false
		if err := a.takeErrors(c, func(to uint16, answer Answer) {
			record(to, answer)
			found = found || to == port
		}); err != nil || !found {
			return err
		}
		c.asking = 0
		return c.disconnect()
	default:
		// Any other error is that of an ICMP error, which is in the queue.
		if err := a.takeErrors(c, record); err != nil {
			return err
		}
		c.asking = 0
		return c.disconnect()
	}
}

// giveUp looks a last time at a connection whose socket is needed.
func (a *connectAsker) giveUp(c *connector, record recorder) error {
	if err := a.look(c, record); err != nil || c.asking == 0 {
		return err
	}
	c.asking = 0
	return c.disconnect()
}

// awaitAll waits for what is still under way.
func (a *connectAsker) awaitAll(ctx context.Context, wait time.Duration, record recorder) error {
	until := time.Now().Add(wait)
	for {
		var fds []unix.PollFd
		var open []*connector
		for _, c := range a.sockets {
			if c.asking != 0 {
				fds = append(fds, unix.PollFd{Fd: int32(c.fd), Events: unix.POLLOUT})
				open = append(open, c)
			}
		}
		if len(fds) == 0 {
			return nil
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		over := !time.Now().Before(until)
		if err := poll(fds, until); err != nil {
			return err
		}
		for i, c := range open {
			if fds[i].Revents == 0 {
				continue
			}
			if err := a.look(c, record); err != nil {
				return err
			}
		}
		if over {
			if err := backlogsEmptied(ctx); err != nil {
				return err
			}
			for _, c := range open {
				if c.asking == 0 {
					continue
				}
				if err := a.giveUp(c, record); err != nil {
					return err
				}
			}
		}
	}
}

// readErrors corrects what was taken for a RST and was an ICMP error.
func (a *connectAsker) readErrors(c *connector, record recorder) error {
	if c.refused == 0 {
		return nil
	}
	c.refused = 0
	return a.takeErrors(c, record)
}

func (a *connectAsker) takeErrors(c *connector, record recorder) error {
	_, err := drainErrors(a.errors, c.fd, func(i int, e errqueue.Error) {
		record(a.errors.Port(i), Answer{State: Rejected, ICMP: icmpOf(e)})
	})
	return err
}

// disconnect ends a connection, by a RST where one stands, and leaves the
// socket as it was before (connect(2), AF_UNSPEC).
func (c *connector) disconnect() error {
	nowhere := unix.RawSockaddr{Family: unix.AF_UNSPEC}
	for {
		_, _, errno := unix.Syscall(unix.SYS_CONNECT, uintptr(c.fd), uintptr(unsafe.Pointer(&nowhere)), unix.SizeofSockaddrInet4)
		switch errno {
		case 0:
			// What ended it is left on the socket, and would be told to the next.
			_, err := unix.GetsockoptInt(c.fd, unix.SOL_SOCKET, unix.SO_ERROR)
			return err
		case unix.EINTR:
		default:
			return fmt.Errorf("disconnect: %w", errno)
		}
	}
}
