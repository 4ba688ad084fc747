// Package mmsg sends and receives many messages by one system call
// (sendmmsg(2), recvmmsg(2)), in buffers that are made once.
package mmsg

import (
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// header is struct mmsghdr (recvmmsg(2)).
type header struct {
	unix.Msghdr
	bytes uint32
}

// Batch is buffers for one system call.
type Batch struct {
	headers []header
	iovecs  []unix.Iovec
	data    [][]byte
	names   []unix.RawSockaddrInet6 // the larger of the two families
	control [][]byte
}

// New makes room for n messages of size bytes, with room for a name and, where
// control is not 0, for that many bytes of control messages.
func New(n, size, control int) *Batch {
	b := &Batch{
		headers: make([]header, n), iovecs: make([]unix.Iovec, n), data: make([][]byte, n),
		names: make([]unix.RawSockaddrInet6, n), control: make([][]byte, n),
	}
	for i := range n {
		h := &b.headers[i]
		if size > 0 {
			b.data[i] = make([]byte, size)
			b.iovecs[i].Base = &b.data[i][0]
			b.iovecs[i].SetLen(size)
			h.Iov = &b.iovecs[i]
			h.SetIovlen(1)
		}
		if control > 0 {
			b.control[i] = make([]byte, control)
		}
	}
	return b
}

// Len is how many messages there is room for.
func (b *Batch) Len() int { return len(b.headers) }

// Buffer is where message i is written before it is sent.
func (b *Batch) Buffer(i int) []byte { return b.data[i] }

// Size says how much of its buffer message i takes up.
func (b *Batch) Size(i, bytes int) { b.iovecs[i].SetLen(bytes) }

// To gives message i an address to be sent to, without a port; the zero Addr
// sends it where the socket is bound or connected to.
func (b *Batch) To(i int, addr netip.Addr) {
	name, h := &b.names[i], &b.headers[i]
	if !addr.IsValid() {
		h.Name, h.Namelen = nil, 0
		return
	}
	h.Name = (*byte)(unsafe.Pointer(name))
	if addr.Is4() {
		*(*unix.RawSockaddrInet4)(unsafe.Pointer(name)) = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: addr.As4()}
		h.Namelen = unix.SizeofSockaddrInet4
		return
	}
	*name = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: addr.As16()}
	h.Namelen = unix.SizeofSockaddrInet6
}

// Send sends the messages from one to before another through a socket and says
// how many went; the error is about the first that did not.
func (b *Batch) Send(fd, from, to int) (int, error) {
	return call(unix.SYS_SENDMMSG, fd, b.headers[from:to], 0)
}

// Receive fills the batch with what is there, without waiting, and returns how
// many messages that were. Flags are those of recv(2).
func (b *Batch) Receive(fd, flags int) (int, error) {
	for i := range b.headers {
		h := &b.headers[i]
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Namelen = unix.SizeofSockaddrInet6
		if b.control[i] != nil {
			h.Control = &b.control[i][0]
			h.SetControllen(len(b.control[i]))
		}
	}
	return call(unix.SYS_RECVMMSG, fd, b.headers, flags|unix.MSG_DONTWAIT)
}

func call(number uintptr, fd int, headers []header, flags int) (int, error) {
	for {
		n, _, errno := unix.Syscall6(number, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(headers))), uintptr(len(headers)), uintptr(flags), 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		default:
			return 0, errno
		}
	}
}

// Port is that of the name of a message that was received. Both families have
// it in one place.
func (b *Batch) Port(i int) uint16 {
	p := (*[2]byte)(unsafe.Pointer(&b.names[i].Port))
	return uint16(p[0])<<8 | uint16(p[1])
}

// Addr is that of the name of a message that was received.
func (b *Batch) Addr(i int) netip.Addr {
	name := &b.names[i]
	if name.Family == unix.AF_INET6 {
		return netip.AddrFrom16(name.Addr)
	}
	return netip.AddrFrom4((*unix.RawSockaddrInet4)(unsafe.Pointer(name)).Addr)
}

// Received is message i, as far as there was room for it.
func (b *Batch) Received(i int) []byte {
	return b.data[i][:min(int(b.headers[i].bytes), len(b.data[i]))]
}

// Control are the control messages of message i.
func (b *Batch) Control(i int) []byte {
	return b.control[i][:min(int(b.headers[i].Controllen), len(b.control[i]))]
}
