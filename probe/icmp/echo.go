// Package icmp asks the stack with ICMP and ICMPv6: it sends echo requests and
// returns the whole answer, and it catches the errors that a datagram causes.
//
// It looks where pro-bing does not: at every byte of the payload, at the
// identifier that was really on the wire, and at the errors.
package icmp

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Access is the kind of socket that ICMP goes through.
type Access string

const (
	// Ping is the datagram socket of icmp(7): no privilege, but the user's
	// group has to be within net.ipv4.ping_group_range.
	Ping Access = "ping socket"
	// Raw is the raw socket of raw(7): it takes CAP_NET_RAW.
	Raw Access = "raw socket"
)

// MaxPayload is the largest echo payload of IPv4: 65,535 bytes of total length
// (RFC 791) less 20 of IP header and 8 of ICMP header.
const MaxPayload = 65535 - 20 - 8

// echoHeaderBytes is type, code, checksum, identifier and sequence number
// (RFC 792, RFC 4443 4.1).
const echoHeaderBytes = 8

// Allowed returns the least privileged kind of socket that this process may
// open towards an address. The error says how each kind was refused.
func Allowed(to netip.Addr) (Access, error) {
	var refused []error
	for _, access := range []Access{Ping, Raw} {
		c, err := listen(access, to)
		if err == nil {
			return access, c.Close()
		}
		refused = append(refused, fmt.Errorf("%s: %w", access, err))
	}
	return "", errors.Join(refused...)
}

// listen opens a socket towards an address.
func listen(access Access, to netip.Addr) (*icmp.PacketConn, error) {
	network, any := "udp4", "0.0.0.0"
	switch {
	case to.Is4() && access == Raw:
		network = "ip4:icmp"
	case to.Is6() && access == Ping:
		network, any = "udp6", "::"
	case to.Is6():
		network, any = "ip6:ipv6-icmp", "::"
	}
	c, err := icmp.ListenPacket(network, any)
	if err != nil {
		// The library names every refusal "listen": keep the reason alone.
		var syscallErr *os.SyscallError
		if errors.As(err, &syscallErr) {
			return nil, syscallErr
		}
		return nil, err
	}
	return c, nil
}

// Request is an echo request. A ping socket puts its own identifier in the
// place of ID. The reply is known by the payload, or by ID and Seq together:
// all three should be random, as others may ping at the same time.
type Request struct {
	ID, Seq uint16
	Payload []byte
}

// Reply is what came back for a Request, and need not be right: its payload is
// that of the request, or its identifier and sequence number are; what else it
// holds is for the caller to judge.
type Reply struct {
	Type, Code int
	ID, Seq    uint16
	// SentID is the identifier that the request had on the wire.
	SentID  uint16
	Payload []byte
	// TTL is the time to live or hop limit of the packet that was received.
	TTL  int
	From netip.Addr
	RTT  time.Duration
}

// Echo sends one echo request and waits for its reply until the context ends.
// A request that is refused gives the error of the send, wrapping its errno
// (EMSGSIZE for a payload that is too long); no reply gives the context's
// error.
func Echo(ctx context.Context, access Access, to netip.Addr, req Request) (Reply, error) {
	if err := ctx.Err(); err != nil {
		return Reply{}, err
	}
	c, err := listen(access, to)
	if err != nil {
		return Reply{}, fmt.Errorf("open %s: %w", access, err)
	}
	defer func() { _ = c.Close() }()
	return exchange(ctx, c, access, to, req)
}

func exchange(ctx context.Context, c *icmp.PacketConn, access Access, to netip.Addr, req Request) (Reply, error) {
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	sentID := req.ID
	var dst net.Addr = &net.IPAddr{IP: to.AsSlice(), Zone: to.Zone()}
	if access == Ping {
		dst = &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}
		sentID = uint16(c.LocalAddr().(*net.UDPAddr).Port)
	} else {
		refuseOthers(c, to)
	}
	if err := receiveTTL(c, to); err != nil {
		return Reply{}, fmt.Errorf("ask for the TTL of replies from %v: %w", to, err)
	}
	packet, err := (&icmp.Message{
		Type: requestType(to),
		Body: &icmp.Echo{ID: int(req.ID), Seq: int(req.Seq), Data: req.Payload},
	}).Marshal(nil)
	if err != nil {
		return Reply{}, fmt.Errorf("encode echo request of %d bytes: %w", len(req.Payload), err)
	}
	sent := time.Now()
	if _, err := c.WriteTo(packet, dst); err != nil {
		return Reply{}, fmt.Errorf("send echo request of %d bytes to %v: %w", len(req.Payload), to, err)
	}
	reply, err := await(c, to, sentID, req, sent)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return Reply{}, fmt.Errorf("await echo reply from %v: %w", to, ctx.Err())
	}
	return reply, err
}

func requestType(to netip.Addr) icmp.Type {
	if to.Is4() {
		return ipv4.ICMPTypeEcho
	}
	return ipv6.ICMPTypeEchoRequest
}

func receiveTTL(c *icmp.PacketConn, to netip.Addr) error {
	if to.Is4() {
		return c.IPv4PacketConn().SetControlMessage(ipv4.FlagTTL, true)
	}
	return c.IPv6PacketConn().SetControlMessage(ipv6.FlagHopLimit, true)
}

// read reads one packet with its TTL.
func read(c *icmp.PacketConn, to netip.Addr, buf []byte) (n, ttl int, from net.Addr, err error) {
	if to.Is4() {
		n, cm, from, err := c.IPv4PacketConn().ReadFrom(buf)
		if cm != nil {
			ttl = cm.TTL
		}
		return n, ttl, from, err
	}
	n, cm, from, err := c.IPv6PacketConn().ReadFrom(buf)
	if cm != nil {
		ttl = cm.HopLimit
	}
	return n, ttl, from, err
}

// refuseOthers keeps out of a raw socket what is no reply: echo requests, of
// which loopback would deliver our own first, and destination unreachable, of
// which others may be sent floods. In a small receive buffer they leave no room for the reply.
// Every other type comes in, so that a reply of a wrong type is seen.
func refuseOthers(c *icmp.PacketConn, to netip.Addr) {
	// Not every system has the filter. Without it the request only comes in
	// and is passed over.
	if to.Is4() {
		var filter ipv4.ICMPFilter
		filter.SetAll(false)
		filter.Block(ipv4.ICMPTypeEcho)
		filter.Block(ipv4.ICMPTypeDestinationUnreachable)
		_ = c.IPv4PacketConn().SetICMPFilter(&filter)
		return
	}
	var filter ipv6.ICMPFilter
	filter.SetAll(false)
	filter.Block(ipv6.ICMPTypeEchoRequest)
	filter.Block(ipv6.ICMPTypeDestinationUnreachable)
	_ = c.IPv6PacketConn().SetICMPFilter(&filter)
}

// await reads until the answer to one request is there. A raw socket sees
// every ICMP packet of the machine.
func await(c *icmp.PacketConn, to netip.Addr, id uint16, req Request, sent time.Time) (Reply, error) {
	buf := make([]byte, 1<<16)
	for {
		n, ttl, from, err := read(c, to, buf)
		rtt := time.Since(sent)
		if err != nil {
			return Reply{}, fmt.Errorf("receive from %v: %w", to, err)
		}
		if reply, ok := match(buf[:n], to, id, req); ok {
			reply.TTL, reply.From, reply.RTT = ttl, addrOf(from), rtt
			return reply, nil
		}
	}
}

// match tells whether a packet is what came back for a request. Either the
// payload or identifier and sequence number say so, and the type does not
// matter: an answer that is wrong in one of them is an answer still, not the
// lack of one.
func match(packet []byte, to netip.Addr, id uint16, req Request) (Reply, bool) {
	if len(packet) < echoHeaderBytes || int(packet[0]) == typeNumber(requestType(to)) {
		return Reply{}, false
	}
	reply := Reply{
		Type: int(packet[0]), Code: int(packet[1]),
		ID: binary.BigEndian.Uint16(packet[4:]), Seq: binary.BigEndian.Uint16(packet[6:]),
		SentID: id, Payload: packet[echoHeaderBytes:],
	}
	samePayload := len(req.Payload) > 0 && bytes.Equal(reply.Payload, req.Payload)
	return reply, samePayload || reply.ID == id && reply.Seq == req.Seq
}

func typeNumber(t icmp.Type) int {
	switch t := t.(type) {
	case ipv4.ICMPType:
		return int(t)
	case ipv6.ICMPType:
		return int(t)
	}
	return -1
}

func addrOf(a net.Addr) netip.Addr {
	var ip net.IP
	switch a := a.(type) {
	case *net.IPAddr:
		ip = a.IP
	case *net.UDPAddr:
		ip = a.IP
	}
	addr, _ := netip.AddrFromSlice(ip)
	return addr.Unmap()
}
