package leftovers

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// netlinkTimeout bounds the wait for a reply. The kernel answers while the
// request is being sent; the bound is for a kernel that never does.
var netlinkTimeout = unix.Timeval{Sec: 2}

// maxDumpTries is how often a dump is asked for that the kernel says was torn
// by a change (NLM_F_DUMP_INTR).
const maxDumpTries = 5

var errTornDump = errors.New("the list changed while it was read")

// netlinkAsk sends one request and returns the messages of the answer, without
// those that end it. With dump it asks for a list. It fails with the kernel's
// errno, see netlink(7).
func netlinkAsk(protocol int, messageType uint16, payload []byte, dump bool) ([]syscall.NetlinkMessage, error) {
	for try := 1; ; try++ {
		messages, err := netlinkAskOnce(protocol, messageType, payload, dump)
		if !errors.Is(err, errTornDump) || try == maxDumpTries {
			return messages, err
		}
	}
}

func netlinkAskOnce(protocol int, messageType uint16, payload []byte, dump bool) ([]syscall.NetlinkMessage, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, fmt.Errorf("open a netlink socket: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &netlinkTimeout); err != nil {
		return nil, fmt.Errorf("bound the wait on a netlink socket: %w", err)
	}

	request := make([]byte, unix.SizeofNlMsghdr, unix.SizeofNlMsghdr+len(payload))
	request = append(request, payload...)
	flags := uint16(unix.NLM_F_REQUEST)
	if dump {
		flags |= unix.NLM_F_DUMP
	}
	binary.NativeEndian.PutUint32(request[0:], uint32(len(request)))
	binary.NativeEndian.PutUint16(request[4:], messageType)
	binary.NativeEndian.PutUint16(request[6:], flags)
	if err := unix.Sendto(fd, request, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return nil, fmt.Errorf("send netlink request %d: %w", messageType, err)
	}

	var answer []syscall.NetlinkMessage
	buffer := make([]byte, 1<<18)
	for {
		n, _, err := unix.Recvfrom(fd, buffer, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read the answer to netlink request %d: %w", messageType, os.NewSyscallError("recvfrom", err))
		}
		messages, err := syscall.ParseNetlinkMessage(append([]byte(nil), buffer[:n]...))
		if err != nil {
			return nil, fmt.Errorf("parse the answer to netlink request %d: %w", messageType, err)
		}
		for _, m := range messages {
			if m.Header.Flags&unix.NLM_F_DUMP_INTR != 0 {
				return nil, errTornDump
			}
			switch m.Header.Type {
			case unix.NLMSG_DONE:
				return answer, nil
			case unix.NLMSG_ERROR:
				if len(m.Data) >= 4 {
					if code := int32(binary.NativeEndian.Uint32(m.Data)); code != 0 {
						return nil, fmt.Errorf("netlink request %d: %w", messageType, unix.Errno(-code))
					}
				}
				return answer, nil
			}
			answer = append(answer, m)
		}
		if !dump && len(answer) > 0 {
			return answer, nil
		}
	}
}

// attribute is a netlink attribute with the nesting flags taken off its type.
type attribute struct {
	kind  uint16
	value []byte
}

// attributes splits what follows the fixed head of a message. What is too short
// to be an attribute ends the list.
func attributes(b []byte) []attribute {
	var list []attribute
	for len(b) >= unix.SizeofNlAttr {
		length := int(binary.NativeEndian.Uint16(b))
		if length < unix.SizeofNlAttr || length > len(b) {
			break
		}
		kind := binary.NativeEndian.Uint16(b[2:]) &^ (unix.NLA_F_NESTED | unix.NLA_F_NET_BYTEORDER)
		list = append(list, attribute{kind, b[unix.SizeofNlAttr:length]})
		b = b[min(len(b), (length+3)&^3):]
	}
	return list
}

// number reads an attribute of 1, 2, 4 or 8 bytes in host order; 0 for others.
func (a attribute) number() uint64 {
	switch len(a.value) {
	case 1:
		return uint64(a.value[0])
	case 2:
		return uint64(binary.NativeEndian.Uint16(a.value))
	case 4:
		return uint64(binary.NativeEndian.Uint32(a.value))
	case 8:
		return binary.NativeEndian.Uint64(a.value)
	}
	return 0
}

// text reads an attribute that is a string ended by NUL.
func (a attribute) text() string { return unix.ByteSliceToString(a.value) }
