package sock

import (
	"encoding/binary"
	"fmt"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TCPInfo asks the kernel about a TCP socket. It fails with an error that wraps
// the errno, EOPNOTSUPP on a socket that is not TCP.
func (s *Socket) TCPInfo() (TCPInfo, error) {
	return tcpInfoOf(s.fd)
}

// ConnTCPInfo asks about a connection or listener of the net package.
func ConnTCPInfo(conn syscall.Conn) (TCPInfo, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return TCPInfo{}, fmt.Errorf("read TCP_INFO: %w", err)
	}
	var info TCPInfo
	var infoErr error
	err = raw.Control(func(fd uintptr) { info, infoErr = tcpInfoOf(int(fd)) })
	if err != nil {
		return TCPInfo{}, fmt.Errorf("read TCP_INFO: %w", err)
	}
	return info, infoErr
}

// tcpInfoOf makes the system call itself: unix.GetsockoptTCPInfo does not tell
// how much of its struct the kernel filled.
func tcpInfoOf(fd int) (TCPInfo, error) {
	var b [512]byte
	length := uint32(len(b))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.IPPROTO_TCP, unix.TCP_INFO,
		uintptr(unsafe.Pointer(&b[0])), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return TCPInfo{}, fmt.Errorf("read TCP_INFO: %w", errno)
	}
	info, err := decodeTCPInfo(b[:length], binary.NativeEndian)
	if err != nil {
		return TCPInfo{}, fmt.Errorf("read TCP_INFO: %w", err)
	}
	return info, nil
}
