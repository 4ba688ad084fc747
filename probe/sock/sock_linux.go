package sock

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"
)

// Socket is one descriptor. One goroutine may send while another receives;
// Close must come after both.
type Socket struct {
	fd     int
	kind   Kind
	family Family
}

// New opens a socket (socket(2)). A raw one takes NewRaw.
func New(kind Kind, family Family) (*Socket, error) {
	kindNumber, protocol := unix.SOCK_STREAM, 0
	switch {
	case kind == UDP:
		kindNumber = unix.SOCK_DGRAM
	case kind == Ping:
		kindNumber, protocol = unix.SOCK_DGRAM, family.icmp()
	case kind == Raw:
		return nil, fmt.Errorf("open a raw socket of no protocol: %w", unix.EPROTONOSUPPORT)
	}
	return open(kind, family, kindNumber, protocol)
}

func open(kind Kind, family Family, kindNumber, protocol int) (*Socket, error) {
	domain := unix.AF_INET
	if family == IPv6 {
		domain = unix.AF_INET6
	}
	fd, err := unix.Socket(domain, kindNumber|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a %s socket over %s: %w", kind, family, err)
	}
	return &Socket{fd: fd, kind: kind, family: family}, nil
}

// Close closes the descriptor (close(2)). Closing again does nothing.
func (s *Socket) Close() error {
	if s.fd < 0 {
		return nil
	}
	fd := s.fd
	s.fd = -1
	if err := unix.Close(fd); err != nil {
		return fmt.Errorf("close a %s socket: %w", s.kind, err)
	}
	return nil
}

// Bind gives the socket its local address; port 0 takes any (bind(2)). Neither
// SO_REUSEADDR nor SO_REUSEPORT is set.
func (s *Socket) Bind(addr netip.AddrPort) error {
	if err := unix.Bind(s.fd, sockaddr(addr)); err != nil {
		return fmt.Errorf("bind %s %s: %w", s.kind, addr, err)
	}
	return nil
}

// Listen makes the socket accept connections, of which backlog may wait, or
// net.core.somaxconn where that is less (listen(2)).
func (s *Socket) Listen(backlog int) error {
	if err := unix.Listen(s.fd, backlog); err != nil {
		return fmt.Errorf("listen with a backlog of %d: %w", backlog, err)
	}
	return nil
}

// Accept waits for a connection and takes it (accept(2)).
func (s *Socket) Accept(ctx context.Context) (*Socket, error) {
	var fd int
	err := s.retry(ctx, Readable, func() (err error) {
		fd, _, err = unix.Accept4(s.fd, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	return &Socket{fd: fd, kind: s.kind, family: s.family}, nil
}

// StartConnect asks for a connection and does not wait for it (connect(2)). A
// nil error says that it stands already, EINPROGRESS that it is under way:
// Poll for Writable, then read PendingError. On a UDP socket it sets the peer
// and is done at once.
func (s *Socket) StartConnect(addr netip.AddrPort) error {
	if err := unix.Connect(s.fd, sockaddr(addr)); err != nil {
		return fmt.Errorf("connect to %s %s: %w", s.kind, addr, err)
	}
	return nil
}

// Connect asks for a connection and waits until it stands or is refused.
func (s *Socket) Connect(ctx context.Context, addr netip.AddrPort) error {
	err := s.StartConnect(addr)
	if !errors.Is(err, syscall.EINPROGRESS) {
		return err
	}
	if _, err := s.Poll(ctx, Writable); err != nil {
		return fmt.Errorf("connect to %s %s: %w", s.kind, addr, err)
	}
	if err := s.PendingError(); err != nil {
		return fmt.Errorf("connect to %s %s: %w", s.kind, addr, err)
	}
	return nil
}

// Send makes one send (send(2)) and returns how much of p the kernel took,
// which on a stream may be less than all. It raises no SIGPIPE.
func (s *Socket) Send(ctx context.Context, p []byte, flags Flag) (int, error) {
	n, err := s.send(ctx, p, nil, flags)
	if err != nil {
		return 0, fmt.Errorf("send %d bytes over %s: %w", len(p), s.kind, err)
	}
	return n, nil
}

// SendTo sends one datagram to the address (sendto(2)).
func (s *Socket) SendTo(ctx context.Context, p []byte, to netip.AddrPort, flags Flag) (int, error) {
	n, err := s.send(ctx, p, sockaddr(to), flags)
	if err != nil {
		return 0, fmt.Errorf("send %d bytes to %s %s: %w", len(p), s.kind, to, err)
	}
	return n, nil
}

func (s *Socket) send(ctx context.Context, p []byte, to unix.Sockaddr, flags Flag) (n int, err error) {
	err = s.retry(ctx, Writable, func() (err error) {
		n, err = unix.SendmsgN(s.fd, p, nil, to, flags.sending())
		return err
	})
	return n, err
}

// Recv makes one receive (recv(2)). On a stream 0 without an error is the end
// that the peer made; on a datagram socket it is an empty datagram. With
// Truncate the count may exceed len(p).
func (s *Socket) Recv(ctx context.Context, p []byte, flags Flag) (int, error) {
	n, _, err := s.RecvFrom(ctx, p, flags)
	return n, err
}

// RecvFrom is Recv that also tells a datagram's sender; on a stream that is
// the zero AddrPort (recvfrom(2)).
func (s *Socket) RecvFrom(ctx context.Context, p []byte, flags Flag) (n int, from netip.AddrPort, err error) {
	var sender unix.Sockaddr
	err = s.retry(ctx, Readable, func() (err error) {
		n, sender, err = unix.Recvfrom(s.fd, p, flags.number())
		return err
	})
	if err != nil {
		return 0, netip.AddrPort{}, fmt.Errorf("receive over %s: %w", s.kind, err)
	}
	return n, addrPort(sender), nil
}

// Shutdown ends one direction of a connection, or both (shutdown(2)).
func (s *Socket) Shutdown(how How) error {
	numbers := map[How]int{Read: unix.SHUT_RD, Write: unix.SHUT_WR, Both: unix.SHUT_RDWR}
	if err := unix.Shutdown(s.fd, numbers[how]); err != nil {
		return fmt.Errorf("shut down with %s: %w", how, err)
	}
	return nil
}

// SetLinger says what Close does with data that is not yet acknowledged: wait
// for it that long, or with 0 throw it away and send a RST (SO_LINGER,
// socket(7)).
func (s *Socket) SetLinger(seconds int) error {
	linger := unix.Linger{Onoff: 1, Linger: int32(seconds)}
	if err := unix.SetsockoptLinger(s.fd, unix.SOL_SOCKET, unix.SO_LINGER, &linger); err != nil {
		return fmt.Errorf("set SO_LINGER to {1,%d}: %w", seconds, err)
	}
	return nil
}

// ReceiveBuffer is the size in bytes of the receive buffer as the kernel
// accounts for it, its own overhead included (SO_RCVBUF, socket(7)).
func (s *Socket) ReceiveBuffer() (int, error) {
	n, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0, fmt.Errorf("read SO_RCVBUF: %w", err)
	}
	return n, nil
}

// LocalAddr is the address the socket is bound to (getsockname(2)).
func (s *Socket) LocalAddr() (netip.AddrPort, error) {
	sa, err := unix.Getsockname(s.fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read the local address: %w", err)
	}
	return addrPort(sa), nil
}

// PeerAddr is the address the socket is connected to (getpeername(2)).
func (s *Socket) PeerAddr() (netip.AddrPort, error) {
	sa, err := unix.Getpeername(s.fd)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("read the peer's address: %w", err)
	}
	return addrPort(sa), nil
}

// PendingError takes the error that waits on the socket, nil for none; reading
// clears it (SO_ERROR, socket(7)).
func (s *Socket) PendingError() error {
	number, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err != nil {
		return fmt.Errorf("read SO_ERROR: %w", err)
	}
	if number != 0 {
		return syscall.Errno(number)
	}
	return nil
}

var flagNumbers = []struct {
	flag   Flag
	number int
}{
	{Truncate, unix.MSG_TRUNC},
	{Peek, unix.MSG_PEEK},
	{OutOfBand, unix.MSG_OOB},
	{DontWait, unix.MSG_DONTWAIT},
	{WaitAll, unix.MSG_WAITALL},
	{More, unix.MSG_MORE},
	{WithoutCopy, unix.MSG_ZEROCOPY},
	{FastOpenData, unix.MSG_FASTOPEN},
	{EndOfRecord, unix.MSG_EOR},
}

func (f Flag) number() int {
	number := 0
	for _, n := range flagNumbers {
		if f&n.flag != 0 {
			number |= n.number
		}
	}
	return number
}

// sending is the number for a send.
func (f Flag) sending() int {
	if f&WithSignal != 0 {
		return f.number()
	}
	return f.number() | unix.MSG_NOSIGNAL
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
