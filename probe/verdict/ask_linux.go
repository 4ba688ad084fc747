package verdict

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/internal/errqueue"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// wakeInterval bounds how long the wait goes on after its context was
// cancelled; a person who pressed Ctrl-C does not notice it.
const wakeInterval = 20 * time.Millisecond

// ofAll has one poll(2) over all sockets, so that each answer is timed when it
// comes, however silent the packets before it are.
func ofAll(ctx context.Context, packets []Packet, wait time.Duration) ([]Answer, error) {
	flights := make([]*flight, 0, len(packets))
	defer func() {
		for _, f := range flights {
			f.close()
		}
	}()
	for _, p := range packets {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("ask about %s: %w", p, err)
		}
		f, err := send(p)
		if err != nil {
			return nil, fmt.Errorf("ask about %s: %w", p, err)
		}
		flights = append(flights, f)
		// Most answers are there by now: seeing them here times them well.
		if err := observe(flights[len(flights)-1:], 0); err != nil {
			return nil, err
		}
	}
	deadline := time.Now().Add(wait)
	for {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("ask about %d packets: %w", len(packets), err)
		}
		// The last look comes after the deadline: an answer that is there
		// counts, even if this thread was kept from its processor until now.
		over := !time.Now().Before(deadline)
		if err := observe(flights, min(wakeInterval, time.Until(deadline))); err != nil {
			return nil, err
		}
		if over || allDecided(flights) {
			break
		}
	}
	answers := make([]Answer, len(flights))
	for i, f := range flights {
		answers[i] = f.conclude()
	}
	return answers, nil
}

// flight is a packet under way.
type flight struct {
	packet Packet
	fd     int
	sent   time.Time
	// refused is when the kernel refused to send it, after sent.
	refused time.Duration
	answer  *Answer
}

// send opens a socket and sends the packet through it.
func send(p Packet) (*flight, error) {
	p.To = netip.AddrPortFrom(p.To.Addr().Unmap(), p.To.Port())
	f, err := open(p)
	if err != nil {
		return nil, err
	}
	err = f.launch()
	if errors.Is(err, errToItself) {
		// While this one holds its port, the next gets another.
		defer f.close()
		if f, err = open(p); err != nil {
			return nil, err
		}
		err = f.launch()
	}
	if err != nil {
		f.close()
		return nil, err
	}
	return f, nil
}

func open(p Packet) (*flight, error) {
	domain := unix.AF_INET
	if p.To.Addr().Is6() {
		domain = unix.AF_INET6
	}
	kind := unix.SOCK_STREAM
	if p.Protocol == sock.UDP {
		kind = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(domain, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open a %s socket: %w", p.Protocol, err)
	}
	f := &flight{packet: p, fd: fd}
	if err := errqueue.Enable(fd, p.To.Addr().Is6()); err != nil {
		f.close()
		return nil, fmt.Errorf("queue the errors of a %s socket: %w", p.Protocol, err)
	}
	return f, nil
}

// errToItself says that a socket got the port that it is to reach, as one may
// within the ephemeral range: a connection to itself would stand (RFC 9293
// 3.5), and a datagram come back, where nobody else is.
var errToItself = errors.New("the local port is the one to reach")

// launch sends the packet, or takes note that the kernel refuses to.
func (f *flight) launch() error {
	f.sent = time.Now()
	err := f.connect()
	if err == nil && f.packet.Protocol == sock.UDP {
		err = f.sendDatagram()
	}
	if !errors.Is(err, syscall.EPERM) {
		return err
	}
	f.refused = time.Since(f.sent)
	if f.packet.Protocol == sock.TCP {
		// What refuses a datagram may have answered it with an ICMP error as
		// well, which the wait shows. A connection that was not begun has
		// nothing to wait for.
		f.answer = new(f.conclude())
	}
	return nil
}

// connect sends the SYN, or sets a datagram's peer.
func (f *flight) connect() error {
	err := unix.Connect(f.fd, sockaddr(f.packet.To))
	if err != nil && !errors.Is(err, syscall.EINPROGRESS) {
		return fmt.Errorf("connect: %w", err)
	}
	local, err := unix.Getsockname(f.fd)
	if err != nil {
		return fmt.Errorf("read the local address: %w", err)
	}
	if addrPort(local) == f.packet.To {
		return errToItself
	}
	return nil
}

func (f *flight) sendDatagram() error {
	err := uninterrupted(func() error {
		_, err := unix.SendmsgN(f.fd, f.packet.Payload, nil, nil, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("send %d bytes: %w", len(f.packet.Payload), err)
	}
	return nil
}

func (f *flight) close() {
	if f.fd < 0 {
		return
	}
	if f.packet.Protocol == sock.TCP {
		// Where it is refused, a connection ends in the ordinary way.
		_ = unix.SetsockoptLinger(f.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	// Nothing is lost with an error: the answer was taken before.
	_ = unix.Close(f.fd)
	f.fd = -1
}

func allDecided(flights []*flight) bool {
	for _, f := range flights {
		if f.answer == nil {
			return false
		}
	}
	return true
}

// observe waits that long for any of the packets to be answered and looks at
// those that are.
func observe(flights []*flight, wait time.Duration) error {
	var open []*flight
	var fds []unix.PollFd
	for _, f := range flights {
		if f.answer != nil {
			continue
		}
		events := int16(unix.POLLIN)
		if f.packet.Protocol == sock.TCP {
			events = unix.POLLOUT
		}
		open = append(open, f)
		fds = append(fds, unix.PollFd{Fd: int32(f.fd), Events: events})
	}
	if len(fds) == 0 {
		return nil
	}
	// Rounded up, so that the last wait before a deadline does not spin.
	milliseconds := int((max(wait, 0) + time.Millisecond - 1) / time.Millisecond)
	if _, err := unix.Poll(fds, milliseconds); err != nil && !errors.Is(err, syscall.EINTR) {
		return fmt.Errorf("poll %d sockets: %w", len(fds), err)
	}
	for i, f := range open {
		if fds[i].Revents == 0 {
			continue
		}
		if err := f.look(fds[i].Revents); err != nil {
			return fmt.Errorf("ask about %s: %w", f.packet, err)
		}
	}
	return nil
}

// conclude is the answer after the wait.
func (f *flight) conclude() Answer {
	switch {
	case f.answer != nil:
		return *f.answer
	case f.refused != 0:
		return Answer{Verdict: Verdict{Action: Drop}, Errno: syscall.EPERM, Local: true, Took: f.refused}
	}
	return Answer{Verdict: Verdict{Action: Drop}, Took: time.Since(f.sent)}
}

func sockaddr(addr netip.AddrPort) unix.Sockaddr {
	if addr.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(addr.Port()), Addr: addr.Addr().As16()}
}

func addrPort(sa unix.Sockaddr) netip.AddrPort {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(sa.Addr), uint16(sa.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr), uint16(sa.Port))
	}
	return netip.AddrPort{}
}

// uninterrupted makes the call again while a signal gets in its way: the Go
// runtime sends itself some to preempt goroutines.
func uninterrupted(call func() error) error {
	for {
		if err := call(); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}
