package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// rawPairs make the two ends of each transport.
var rawPairs = map[string]func() (client, server *rawEnd, err error){
	TCP:      func() (*rawEnd, *rawEnd, error) { return tcpPair(loopback) },
	TCP6:     func() (*rawEnd, *rawEnd, error) { return tcpPair(netip.IPv6Loopback()) },
	UDP:      func() (*rawEnd, *rawEnd, error) { return udpPair(loopback) },
	UDP6:     func() (*rawEnd, *rawEnd, error) { return udpPair(netip.IPv6Loopback()) },
	Unix:     func() (*rawEnd, *rawEnd, error) { return unixPair(unix.SOCK_STREAM) },
	UnixGram: func() (*rawEnd, *rawEnd, error) { return unixPair(unix.SOCK_DGRAM) },
	Pipe:     pipePair,
}

// sockaddr is an address as the kernel takes it.
func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

func boundTo(fd int) (netip.AddrPort, error) {
	name, err := unix.Getsockname(fd)
	if err != nil {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", err)
	}
	switch a := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr), uint16(a.Port)), nil
	}
	return netip.AddrPort{}, fmt.Errorf("a socket is bound to %T", name)
}

// opened makes a socket that is bound to a free port of an address.
func opened(kind int, addr netip.Addr) (fd int, at netip.AddrPort, err error) {
	domain := unix.AF_INET
	if addr.Is6() {
		domain = unix.AF_INET6
	}
	fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, at, os.NewSyscallError("socket", err)
	}
	if err = unix.Bind(fd, sockaddr(netip.AddrPortFrom(addr, 0))); err != nil {
		err = os.NewSyscallError("bind", err)
	} else {
		at, err = boundTo(fd)
	}
	if err != nil {
		_ = unix.Close(fd)
		return -1, at, err
	}
	return fd, at, nil
}

// tcpPair connects two sockets that send without delay.
func tcpPair(addr netip.Addr) (client, server *rawEnd, err error) {
	var fds []int
	defer closeOnError(&fds, &err)
	listener, at, err := opened(unix.SOCK_STREAM, addr)
	if err != nil {
		return nil, nil, err
	}
	defer unix.Close(listener)
	if err := unix.Listen(listener, 1); err != nil {
		return nil, nil, os.NewSyscallError("listen", err)
	}
	a, from, err := opened(unix.SOCK_STREAM, addr)
	if err != nil {
		return nil, nil, err
	}
	fds = append(fds, a)
	if err := connect(a, at); err != nil {
		return nil, nil, err
	}
	// Others may have found the listener; they are turned away.
	for {
		b, peer, err := unix.Accept4(listener, unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, nil, os.NewSyscallError("accept", err)
		}
		if their, ok := peer.(*unix.SockaddrInet4); ok && their.Port != int(from.Port()) {
			_ = unix.Close(b)
			continue
		}
		if their, ok := peer.(*unix.SockaddrInet6); ok && their.Port != int(from.Port()) {
			_ = unix.Close(b)
			continue
		}
		fds = append(fds, b)
		break
	}
	for _, fd := range fds {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return nil, nil, os.NewSyscallError("setsockopt TCP_NODELAY", err)
		}
	}
	client, server = socketEnds(fds, false)
	return client, server, nil
}

// udpPair connects two sockets to each other, so that each takes datagrams of the
// other alone.
func udpPair(addr netip.Addr) (client, server *rawEnd, err error) {
	var fds []int
	var at []netip.AddrPort
	defer closeOnError(&fds, &err)
	for range 2 {
		fd, here, err := opened(unix.SOCK_DGRAM, addr)
		if err != nil {
			return nil, nil, err
		}
		fds, at = append(fds, fd), append(at, here)
	}
	for i, fd := range fds {
		if err := connect(fd, at[1-i]); err != nil {
			return nil, nil, err
		}
	}
	client, server = socketEnds(fds, true)
	return client, server, nil
}

// connectTimeout leaves TCP time to send a lost SYN again, after a second.
const connectTimeout = 3 * time.Second

// connect gives up after connectTimeout: SO_SNDTIMEO bounds it (socket(7)).
func connect(fd int, to netip.AddrPort) error {
	limit := unix.NsecToTimeval(connectTimeout.Nanoseconds())
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_SNDTIMEO, &limit); err != nil {
		return os.NewSyscallError("setsockopt SO_SNDTIMEO", err)
	}
	for began := time.Now(); ; {
		err := unix.Connect(fd, sockaddr(to))
		switch {
		case err == nil, errors.Is(err, unix.EISCONN):
			return nil
		case errors.Is(err, unix.EINPROGRESS), errors.Is(err, unix.EALREADY), errors.Is(err, unix.EINTR) && time.Since(began) > connectTimeout:
			return fmt.Errorf("connect to %v: no answer within %v: %w", to, connectTimeout, os.ErrDeadlineExceeded)
		case !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("connect", err)
		}
	}
}

func unixPair(kind int) (client, server *rawEnd, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	client, server = socketEnds(pair[:], kind == unix.SOCK_DGRAM)
	return client, server, nil
}

func socketEnds(fds []int, datagrams bool) (client, server *rawEnd) {
	end := func(fd int) *rawEnd { return &rawEnd{in: fd, out: fd, datagrams: datagrams, sockets: true} }
	return end(fds[0]), end(fds[1])
}

// pipePair is a pipe for each direction.
func pipePair() (client, server *rawEnd, err error) {
	var to, back [2]int
	if err := unix.Pipe2(to[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	if err := unix.Pipe2(back[:], unix.O_CLOEXEC); err != nil {
		_, _ = unix.Close(to[0]), unix.Close(to[1])
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	return &rawEnd{in: back[0], out: to[1]}, &rawEnd{in: to[0], out: back[1]}, nil
}

func closeOnError(fds *[]int, err *error) {
	if *err != nil {
		for _, fd := range *fds {
			_ = unix.Close(fd)
		}
	}
}
