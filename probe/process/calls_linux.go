package process

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// noFile is a descriptor that is never open, and noType no type of socket: the
// kernel looks at them before anything else.
const (
	noFile = -1
	noType = 15
)

// calls are asked with an argument that cannot be right, so that they do nothing
// and the kernel's own answer is known. A filter, which sees the call first,
// answers as it does for any other.
var calls = []struct {
	name  string
	right syscall.Errno
	ask   func() error
}{
	{"connect", unix.EBADF, func() error { return unix.Connect(noFile, &unix.SockaddrInet4{}) }},
	{"bind", unix.EBADF, func() error { return unix.Bind(noFile, &unix.SockaddrInet4{}) }},
	{"listen", unix.EBADF, func() error { return unix.Listen(noFile, 1) }},
	{"accept4", unix.EBADF, func() error { _, _, err := unix.Accept4(noFile, unix.SOCK_CLOEXEC); return err }},
	{"sendto", unix.EBADF, func() error { return unix.Sendto(noFile, nil, 0, &unix.SockaddrInet4{}) }},
	{"sendmsg", unix.EBADF, func() error { return unix.Sendmsg(noFile, nil, nil, nil, 0) }},
	{"recvfrom", unix.EBADF, func() error { _, _, err := unix.Recvfrom(noFile, nil, 0); return err }},
	{"recvmsg", unix.EBADF, func() error { _, _, _, _, err := unix.Recvmsg(noFile, nil, nil, 0); return err }},
	{"setsockopt", unix.EBADF, func() error { return unix.SetsockoptInt(noFile, unix.SOL_SOCKET, unix.SO_REUSEADDR, 0) }},
	{"getsockopt", unix.EBADF, func() error { _, err := unix.GetsockoptInt(noFile, unix.SOL_SOCKET, unix.SO_TYPE); return err }},
	{"getsockname", unix.EBADF, func() error { _, err := unix.Getsockname(noFile); return err }},
	{"shutdown", unix.EBADF, func() error { return unix.Shutdown(noFile, unix.SHUT_WR) }},
	{"socket inet", unix.EINVAL, func() error { _, err := unix.Socket(unix.AF_INET, noType, 0); return err }},
	{"socket inet6", unix.EINVAL, func() error { _, err := unix.Socket(unix.AF_INET6, noType, 0); return err }},
	{"socket netlink", unix.EINVAL, func() error { _, err := unix.Socket(unix.AF_NETLINK, noType, 0); return err }},
	{"socket unix", unix.EINVAL, func() error { _, err := unix.Socket(unix.AF_UNIX, noType, 0); return err }},
}

// Refusals asks the system calls of sockets, each in a way that does nothing,
// and returns those that something else than the kernel's own code answered: a
// seccomp filter, which decides before it.
func Refusals() []Refusal {
	var refused []Refusal
	for _, call := range calls {
		if errno, ok := errors.AsType[syscall.Errno](call.ask()); ok && errno != call.right {
			refused = append(refused, Refusal{Call: call.name, Errno: errno, Right: call.right})
		}
	}
	return refused
}
