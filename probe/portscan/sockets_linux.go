package portscan

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// bindTries bounds the search for a port that nobody has and no asker had.
const bindTries = 256

func domainOf(addr netip.Addr) int {
	if addr.Is6() {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// sockaddr returns an address for a system call and where its port is set.
func sockaddr(addr netip.Addr) (unix.Sockaddr, *int) {
	if addr.Is4() {
		sa := &unix.SockaddrInet4{Addr: addr.As4()}
		return sa, &sa.Port
	}
	sa := &unix.SockaddrInet6{Addr: addr.As16(), ZoneId: zoneID(addr.Zone())}
	return sa, &sa.Port
}

func zoneID(zone string) uint32 {
	if n, err := strconv.ParseUint(zone, 10, 32); err == nil {
		return uint32(n)
	}
	if i, err := net.InterfaceByName(zone); err == nil {
		return uint32(i.Index)
	}
	return 0
}

func portOf(sa unix.Sockaddr) uint16 {
	switch sa := sa.(type) {
	case *unix.SockaddrInet4:
		return uint16(sa.Port)
	case *unix.SockaddrInet6:
		return uint16(sa.Port)
	}
	return 0
}

// localAddr is the source address that the kernel chooses for packets to
// another (connect(2) of a datagram socket, which sends nothing).
func localAddr(to netip.Addr) (netip.Addr, error) {
	fd, err := unix.Socket(domainOf(to), unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("open a socket: %w", err)
	}
	defer unix.Close(fd)
	sa, port := sockaddr(to)
	*port = 9 // discard: any port but 0 will do
	if err := unix.Connect(fd, sa); err != nil {
		return netip.Addr{}, fmt.Errorf("choose a source address: %w", err)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("read the source address: %w", err)
	}
	switch local := local.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrFrom4(local.Addr), nil
	case *unix.SockaddrInet6:
		return netip.AddrFrom16(local.Addr).WithZone(to.Zone()), nil
	}
	return netip.Addr{}, fmt.Errorf("choose a source address: the kernel's is of another family")
}

// dislike is how unwelcome a port is as one to ask from.
type dislike int

const (
	welcome dislike = iota
	// used: an earlier asker had it, so that what answered it proves nothing new.
	used
	// wanted: it is still to be asked itself.
	wanted
)

// bindFree opens a socket on the most welcome port of the address that it finds
// free. While one is bound the kernel gives others.
func bindFree(kind int, addr netip.Addr, of func(uint16) dislike) (fd int, port uint16, err error) {
	type candidate struct {
		fd   int
		port uint16
	}
	var best candidate
	var others []candidate
	defer func() {
		for _, c := range others {
			_ = unix.Close(c.fd)
		}
	}()
	for tries := range bindTries {
		c := candidate{}
		c.fd, c.port, err = bindAny(kind, addr)
		if err != nil {
			if tries > 0 && scarce(err) {
				return best.fd, best.port, nil
			}
			if tries > 0 {
				others = append(others, best)
			}
			break
		}
		if tries > 0 && of(c.port) >= of(best.port) {
			others = append(others, c)
			continue
		}
		if tries > 0 {
			others = append(others, best)
		}
		if best = c; of(best.port) == welcome {
			return best.fd, best.port, nil
		}
	}
	if err != nil {
		return -1, 0, err
	}
	return best.fd, best.port, nil
}

func bindAny(kind int, addr netip.Addr) (fd int, port uint16, err error) {
	fd, err = unix.Socket(domainOf(addr), kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("open a socket: %w", err)
	}
	sa, _ := sockaddr(addr)
	if err = unix.Bind(fd, sa); err != nil {
		_ = unix.Close(fd)
		return -1, 0, fmt.Errorf("bind a port of %s: %w", addr, err)
	}
	local, err := unix.Getsockname(fd)
	if err != nil {
		_ = unix.Close(fd)
		return -1, 0, fmt.Errorf("read the port that was bound: %w", err)
	}
	return fd, portOf(local), nil
}

// await waits for events of a socket until the time is over. It wakes now and
// then so that the caller sees its context end.
func await(fd int, events int16, until time.Time) error {
	return poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, until)
}

func poll(fds []unix.PollFd, until time.Time) error {
	const wakeInterval = 20 * time.Millisecond
	wait := min(max(time.Until(until), 0), wakeInterval)
	// Rounded up, so that the last wait before a deadline does not spin.
	_, err := unix.Poll(fds, int((wait+time.Millisecond-1)/time.Millisecond))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return fmt.Errorf("poll %d sockets: %w", len(fds), err)
	}
	return nil
}
