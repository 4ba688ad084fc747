package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawBacklog is how many connections the listener keeps: a client makes one at a
// time, and the server may be that far behind with closing.
const rawBacklog = 128

// rawAddress is an address as the kernel takes it, with room for either family.
type rawAddress struct {
	in6  unix.RawSockaddrInet6
	size uintptr
}

func newRawAddress(a netip.AddrPort) *rawAddress {
	// The port is in network byte order.
	port := func(p *uint16) { *(*[2]byte)(unsafe.Pointer(p)) = [2]byte{byte(a.Port() >> 8), byte(a.Port())} }
	if a.Addr().Is4() {
		r := &rawAddress{size: unix.SizeofSockaddrInet4}
		in4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(&r.in6))
		in4.Family, in4.Addr = unix.AF_INET, a.Addr().As4()
		port(&in4.Port)
		return r
	}
	r := &rawAddress{size: unix.SizeofSockaddrInet6, in6: unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: a.Addr().As16()}}
	port(&r.in6.Port)
	return r
}

// rawFresh makes a connection for each operation: crr, crr-graceful and connect.
// Its system calls are those of the floor in C (testdata/floor.c); crr-graceful has
// two more, as it chooses the address it comes from.
type rawFresh struct {
	*raw
	end               rawEnd
	to                *rawAddress
	from              []*rawAddress
	made              int
	request, response []byte
}

func openRawFresh(r *raw, cpu int) (oneByOne, error) {
	f, err := newRawFresh(r, cpu)
	return oneByOneOf(r.spec, f), err
}

func newRawFresh(r *raw, cpu int) (*rawFresh, error) {
	s := r.spec
	listener, at, err := opened(unix.SOCK_STREAM, serverAddress(s.Transport).Addr())
	if err != nil {
		return nil, err
	}
	r.serverFiles = append(r.serverFiles, listener)
	if err := unix.Listen(listener, rawBacklog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	if err := unix.SetNonblock(listener, s.Engine == RawSpin); err != nil {
		return nil, os.NewSyscallError("fcntl", err)
	}
	f := &rawFresh{
		raw: r, end: rawEnd{in: -1, out: -1, sockets: true}, to: newRawAddress(at),
		request: newPayload(s.SizeBytes, 0), response: make([]byte, s.SizeBytes),
	}
	r.use(&f.end)
	r.atEnd = func() { _ = f.hangUpAs(CRR) }
	if s.Op == CRRGraceful && s.Transport == TCP {
		for _, source := range sources() {
			f.from = append(f.from, newRawAddress(source.AddrPort()))
		}
	}
	server := &rawServer{raw: r, listener: listener, end: rawEnd{sockets: true}, message: make([]byte, s.SizeBytes)}
	r.use(&server.end)
	if err := r.serve(cpu, server.accept); err != nil {
		return nil, err
	}
	if s.Op == Connect {
		err = f.socket()
	}
	return f, err
}

func (f *rawFresh) roundTrip(sequence uint64) error {
	f.look(sequence)
	if f.spec.Op == Connect { // over the socket that is there already
		return f.told(sequence, f.connect())
	}
	mark(f.request, sequence)
	err := f.socket()
	if err == nil {
		err = f.exchange()
	}
	if ended := f.hangUpAs(f.spec.Op); err == nil {
		err = ended
	}
	return f.told(sequence, err)
}

func (f *rawFresh) told(sequence uint64, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, unix.EADDRNOTAVAIL) {
		return &MissingError{f.spec, "a free ephemeral port, as closed connections keep theirs in TIME_WAIT (net.ipv4.ip_local_port_range)", f.failed(sequence, err)}
	}
	return f.failed(sequence, err)
}

// exchange connects and makes a round trip.
func (f *rawFresh) exchange() error {
	if err := f.connect(); err != nil {
		return err
	}
	if err := f.end.send(f.request); err != nil {
		return err
	}
	if _, err := f.end.receive(f.response, silenceTimeout); err != nil {
		return err
	}
	return nil
}

// socket makes the socket of the next connection.
func (f *rawFresh) socket() error {
	family := f.to.in6.Family
	fd, _, errno := syscall.RawSyscall(unix.SYS_SOCKET, uintptr(family), unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if errno != 0 {
		return os.NewSyscallError("socket", errno)
	}
	f.end.in, f.end.out = int(fd), int(fd)
	if err := noDelay(int(fd)); err != nil {
		return err
	}
	if len(f.from) == 0 {
		return nil
	}
	// The port is chosen when the connection is made, which needs not be one that no
	// other connection has (ip(7)).
	if err := setOption(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1); err != nil {
		return err
	}
	source := f.from[f.made%len(f.from)]
	f.made++
	if _, _, errno := syscall.RawSyscall(unix.SYS_BIND, fd, uintptr(unsafe.Pointer(&source.in6)), source.size); errno != 0 {
		return os.NewSyscallError("bind", errno)
	}
	return nil
}

func (f *rawFresh) connect() error {
	var waited patience
	for {
		_, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(f.end.out), uintptr(unsafe.Pointer(&f.to.in6)), f.to.size)
		switch errno {
		case 0, unix.EISCONN:
			return nil
		case unix.EINTR, unix.EALREADY:
			if err := waited.goOn(unix.EINTR, f.stop, silenceTimeout); err != nil {
				return fmt.Errorf("connect: %w", err)
			}
		default:
			return os.NewSyscallError("connect", errno)
		}
	}
}

// hangUpAs closes the connection as an operation does: but for crr-graceful by a
// reset, for which SO_LINGER is zero (socket(7)).
func (f *rawFresh) hangUpAs(op string) error {
	fd := f.end.in
	if fd < 0 {
		return nil
	}
	f.end.in, f.end.out = -1, -1
	var err error
	if op != CRRGraceful {
		linger := unix.Linger{Onoff: 1}
		if _, _, errno := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_LINGER, uintptr(unsafe.Pointer(&linger)), unix.SizeofLinger, 0); errno != 0 {
			err = os.NewSyscallError("setsockopt SO_LINGER", errno)
		}
	}
	syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
	return err
}

// verify waits, of a handshake alone, until the server has closed the connection:
// only then has it left the listener's queue. It makes the next socket, too, so that
// the time of the next one holds nothing else.
func (f *rawFresh) verify(sequence uint64) error {
	if f.spec.Op != Connect {
		if err := differs(f.request, f.response); err != nil {
			return f.failed(sequence, err)
		}
		return nil
	}
	_, err := f.end.receiveSome(f.response[:1], silenceTimeout)
	switch {
	case err == errClosed:
		err = nil
	case err == nil:
		err = errors.New("something came over a connection on which nothing is sent")
	}
	if closed := f.hangUpAs(Connect); err == nil {
		err = closed
	}
	if err == nil {
		err = f.socket()
	}
	return f.told(sequence, err)
}

func noDelay(fd int) error { return setOption(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1) }

func setOption(fd int, level, option uintptr, value int32) error {
	if _, _, errno := syscall.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(fd), level, option, uintptr(unsafe.Pointer(&value)), unsafe.Sizeof(value), 0); errno != 0 {
		return os.NewSyscallError("setsockopt", errno)
	}
	return nil
}

// rawServer accepts connections one after the other.
type rawServer struct {
	*raw
	listener int
	end      rawEnd
	message  []byte
}

// accept answers one message of each connection and closes it, or closes it at once
// where the handshake is all.
func (s *rawServer) accept() error {
	for k := 0; ; k++ {
		s.lookAsServer(k)
		fd, err := s.next()
		if err != nil {
			return err
		}
		if s.spec.Op != Connect {
			s.end.in, s.end.out = fd, fd
			err = s.answer()
		}
		syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0)
		// What else becomes of a connection is for its client to notice.
		if errors.Is(err, errStopped) {
			return err
		}
	}
}

func (s *rawServer) next() (int, error) {
	var waited patience
	for {
		fd, _, errno := syscall.RawSyscall6(unix.SYS_ACCEPT4, uintptr(s.listener), 0, 0, unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(fd), nil
		case unix.ECONNABORTED:
		case unix.EINTR, unix.EAGAIN:
			if err := waited.goOn(errno, s.stop, 0); err != nil {
				return -1, err
			}
		default:
			return -1, os.NewSyscallError("accept", errno)
		}
	}
}

// answer gives a stranger, who may have found the listener, as long as the client
// waits at most.
func (s *rawServer) answer() error {
	if err := noDelay(s.end.in); err != nil {
		return err
	}
	if _, err := s.end.receive(s.message, replyTimeout); err != nil {
		return err
	}
	return s.end.send(s.message)
}
