package sock

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

// controlBytes is room enough for every control message that Message knows.
const controlBytes = 256

// RecvMessage receives one datagram with what belongs to it (recvmsg(2)).
func (s *Socket) RecvMessage(ctx context.Context, p []byte) (Message, error) {
	control := make([]byte, controlBytes)
	var m Message
	var told int
	err := s.retry(ctx, Readable, func() (err error) {
		var from unix.Sockaddr
		m.Bytes, told, _, from, err = unix.Recvmsg(s.fd, p, control, 0)
		m.From = addrPort(from)
		return err
	})
	if err != nil {
		return Message{}, fmt.Errorf("receive over %s: %w", s.kind, err)
	}
	messages, err := unix.ParseSocketControlMessage(control[:told])
	if err != nil {
		return Message{}, fmt.Errorf("read what came with a datagram over %s: %w", s.kind, err)
	}
	for _, c := range messages {
		m.learn(c)
	}
	return m, nil
}

func (m *Message) learn(c unix.SocketControlMessage) {
	type kind struct{ level, name int32 }
	switch (kind{c.Header.Level, c.Header.Type}) {
	case kind{unix.SOL_SOCKET, unix.SO_RXQ_OVFL}:
		if len(c.Data) >= 4 {
			m.Dropped = binary.NativeEndian.Uint32(c.Data)
		}
	case kind{unix.IPPROTO_IP, unix.IP_PKTINFO}:
		if len(c.Data) >= unix.SizeofInet4Pktinfo {
			info := (*unix.Inet4Pktinfo)(unsafe.Pointer(&c.Data[0]))
			m.Destination, m.Interface = netip.AddrFrom4(info.Addr), int(info.Ifindex)
		}
	case kind{unix.IPPROTO_IPV6, unix.IPV6_PKTINFO}:
		if len(c.Data) >= unix.SizeofInet6Pktinfo {
			info := (*unix.Inet6Pktinfo)(unsafe.Pointer(&c.Data[0]))
			m.Destination, m.Interface = netip.AddrFrom16(info.Addr), int(info.Ifindex)
		}
	}
}

// SendFrom sends one datagram over IPv4 from that address of the machine,
// whatever the socket is bound to (IP_PKTINFO, ip(7)).
func (s *Socket) SendFrom(ctx context.Context, p []byte, from netip.Addr, to netip.AddrPort) (n int, err error) {
	control := unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: from.As4()})
	err = s.retry(ctx, Writable, func() (err error) {
		n, err = unix.SendmsgN(s.fd, p, control, sockaddr(to), unix.MSG_NOSIGNAL)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send %d bytes from %s to %s %s: %w", len(p), from, s.kind, to, err)
	}
	return n, nil
}
