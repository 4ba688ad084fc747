package icmp

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// QueuedError sends a datagram of size bytes to an address and port, and
// returns the ICMP error that the kernel put into the socket's error queue
// (IP_RECVERR in ip(7)). It needs no privilege. No error until the context
// ends gives the context's error.
func QueuedError(ctx context.Context, to netip.AddrPort, size int) (Unreachable, error) {
	c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return Unreachable{}, err
	}
	defer func() { _ = c.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	raw, err := c.SyscallConn()
	if err != nil {
		return Unreachable{}, err
	}
	var optErr error
	if err := raw.Control(func(fd uintptr) { optErr = keepErrors(int(fd), to.Addr()) }); err != nil || optErr != nil {
		return Unreachable{}, fmt.Errorf("ask for the error queue: %w", errors.Join(err, optErr))
	}
	if _, err := c.Write(make([]byte, size)); err != nil {
		return Unreachable{}, fmt.Errorf("send %d bytes to %v: %w", size, to, err)
	}
	var found Unreachable
	var readErr error
	err = raw.Read(func(fd uintptr) bool {
		found, readErr = readQueue(int(fd))
		return !errors.Is(readErr, unix.EAGAIN)
	})
	if errors.Is(err, os.ErrDeadlineExceeded) {
		// What the last look at the queue gave is that it was empty.
		return Unreachable{}, fmt.Errorf("await an ICMP error from %v: %w", to, ctx.Err())
	}
	return found, errors.Join(err, readErr)
}

func keepErrors(fd int, to netip.Addr) error {
	if to.Is4() {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_RECVERR, 1)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_RECVERR, 1)
}

// readQueue takes one error off the queue; EAGAIN says that there is none.
func readQueue(fd int) (Unreachable, error) {
	oob := make([]byte, 512)
	_, oobn, _, _, err := unix.Recvmsg(fd, nil, oob, unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
	if err != nil {
		return Unreachable{}, err
	}
	messages, err := unix.ParseSocketControlMessage(oob[:oobn])
	if err != nil {
		return Unreachable{}, fmt.Errorf("parse control messages: %w", err)
	}
	for _, m := range messages {
		isError := m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_RECVERR ||
			m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_RECVERR
		if isError && len(m.Data) >= int(unsafe.Sizeof(unix.SockExtendedErr{})) {
			// struct sock_extended_err: errno (4), origin, type, code.
			return Unreachable{Type: int(m.Data[5]), Code: int(m.Data[6])}, nil
		}
	}
	return Unreachable{}, fmt.Errorf("the error queue held no extended error")
}

// CaptureError sends a datagram of size bytes to an address and port, and
// returns the ICMP error packet it caused, as a raw socket sees it. It needs
// CAP_NET_RAW. No error until the context ends gives the context's error.
func CaptureError(ctx context.Context, to netip.AddrPort, size int) (Unreachable, error) {
	network, any := "ip4:icmp", "0.0.0.0"
	if to.Addr().Is6() {
		network, any = "ip6:ipv6-icmp", "::"
	}
	capture, err := net.ListenPacket(network, any)
	if err != nil {
		return Unreachable{}, fmt.Errorf("open raw socket: %w", err)
	}
	defer func() { _ = capture.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = capture.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	sender, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return Unreachable{}, err
	}
	defer func() { _ = sender.Close() }()
	if _, err := sender.Write(make([]byte, size)); err != nil {
		return Unreachable{}, fmt.Errorf("send %d bytes to %v: %w", size, to, err)
	}
	quoted := sender.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	var found Unreachable
	if to.Addr().Is4() {
		found, err = captureV4(capture, quoted, to.Port())
	} else {
		found, err = captureV6(capture, quoted, to.Port())
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("await an ICMP error from %v: %w", to, ctx.Err())
	}
	return found, err
}

const (
	icmpHeaderBytes = 8
	ipv6HeaderBytes = 40
)

func captureV4(capture net.PacketConn, source, destination uint16) (Unreachable, error) {
	raw, err := ipv4.NewRawConn(capture)
	if err != nil {
		return Unreachable{}, err
	}
	buf := make([]byte, 1<<16)
	for {
		header, payload, _, err := raw.ReadFrom(buf)
		if err != nil {
			return Unreachable{}, err
		}
		if len(payload) < icmpHeaderBytes+ipv4.HeaderLen {
			continue
		}
		inner := payload[icmpHeaderBytes:]
		innerHeader := int(inner[0]&0x0f) * 4
		if len(inner) < innerHeader || !quotes(inner[innerHeader:], source, destination) {
			continue
		}
		from, _ := netip.AddrFromSlice(header.Src.To4())
		return Unreachable{
			Type: int(payload[0]), Code: int(payload[1]),
			SizeBytes: header.TotalLen, TOS: header.TOS, From: from,
		}, nil
	}
}

func captureV6(capture net.PacketConn, source, destination uint16) (Unreachable, error) {
	buf := make([]byte, 1<<16)
	for {
		// A raw IPv6 socket gives no IP header (ipv6(7)).
		n, from, err := capture.ReadFrom(buf)
		if err != nil {
			return Unreachable{}, err
		}
		if n < icmpHeaderBytes+ipv6HeaderBytes || !quotes(buf[icmpHeaderBytes+ipv6HeaderBytes:n], source, destination) {
			continue
		}
		return Unreachable{
			Type: int(buf[0]), Code: int(buf[1]),
			SizeBytes: n + ipv6HeaderBytes, From: addrOf(from),
		}, nil
	}
}

// quotes tells whether the quoted start of a datagram is that of ours.
func quotes(udp []byte, source, destination uint16) bool {
	return len(udp) >= 4 &&
		binary.BigEndian.Uint16(udp) == source && binary.BigEndian.Uint16(udp[2:]) == destination
}
