package bench

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/icmp"
)

// Types of ICMP messages (RFC 792, RFC 4443).
const (
	echoReply    = 0
	echoRequest  = 8
	echoRequest6 = 128
	echoReply6   = 129
)

// icmpHeaderBytes is type, code, checksum, identifier and sequence number.
const icmpHeaderBytes = 8

// rawPing sends echo requests, which the kernel answers.
type rawPing struct {
	*raw
	end rawEnd
	// shared says of a raw socket that it gets the replies to others as well.
	// Over IPv4 it also gets IP headers, and computes no checksum: constant is the sum
	// of what never changes.
	shared, packets           bool
	constant                  uint32
	message, response, answer []byte // header and payload; answer is the last reply
	reply                     byte
	owed                      int // replies that did not come in time, and may come yet
}

func openPing(r *raw) (oneByOne, error) {
	p, err := newPing(r)
	return oneByOneOf(r.spec, p), err
}

func newPing(r *raw) (*rawPing, error) {
	s := r.spec
	to, domain, protocol := loopback, unix.AF_INET, unix.IPPROTO_ICMP
	p := &rawPing{raw: r, reply: echoReply}
	kind := byte(echoRequest)
	if s.Transport == ICMP6 {
		to, domain, protocol = netip.IPv6Loopback(), unix.AF_INET6, unix.IPPROTO_ICMPV6
		kind, p.reply = echoRequest6, echoReply6
	}
	access, err := icmp.Allowed(to)
	if err != nil {
		return nil, &MissingError{s, "a ping socket (net.ipv4.ping_group_range) or CAP_NET_RAW", err}
	}
	how := unix.SOCK_DGRAM
	if access == icmp.Raw {
		how = unix.SOCK_RAW
		p.shared, p.packets = true, s.Transport == ICMP
	}
	fd, err := unix.Socket(domain, how|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	r.clientFiles = append(r.clientFiles, fd)
	if access == icmp.Raw {
		if err := repliesAlone(fd, s.Transport); err != nil {
			return nil, err
		}
	}
	if err := connect(fd, netip.AddrPortFrom(to, 0)); err != nil {
		return nil, err
	}
	p.end = rawEnd{in: fd, out: fd, datagrams: true, sockets: true}
	r.use(&p.end)
	p.message = append([]byte{kind, 0, 0, 0, 0, 0, 0, 0}, newPayload(s.SizeBytes, 0)...)
	// A ping socket writes its own identifier; a raw one knows its replies by it.
	binary.BigEndian.PutUint16(p.message[4:], uint16(rand.Uint32()))
	p.constant = checksum(p.message[:6]) + checksum(p.message[p.changes():])
	p.response = make([]byte, maxIPHeader+len(p.message)+1)
	return p, nil
}

// maxIPHeader is the longest that IPv4 has (RFC 791 3.1).
const maxIPHeader = 60

// changes is where the part of a message ends that differs from one to the next: the
// sequence number of the header and that of the payload.
func (p *rawPing) changes() int { return min(icmpHeaderBytes+sequenceBytes, len(p.message)) }

// repliesAlone has a raw socket take echo replies and nothing else.
func repliesAlone(fd int, transport string) error {
	if transport == ICMP {
		const icmpFilter = 1        // ICMP_FILTER, raw(7): a set bit keeps a type out
		others := ^(1 << echoReply) // of 32 types
		return os.NewSyscallError("setsockopt ICMP_FILTER", unix.SetsockoptInt(fd, unix.SOL_RAW, icmpFilter, others))
	}
	const icmp6Filter = 1 // ICMP6_FILTER (RFC 3542 3.2), with the same meaning here
	filter := unix.ICMPv6Filter{}
	for i := range filter.Data {
		filter.Data[i] = ^uint32(0)
	}
	filter.Data[echoReply6/32] &^= 1 << (echoReply6 % 32)
	return os.NewSyscallError("setsockopt ICMP6_FILTER", unix.SetsockoptICMPv6Filter(fd, unix.SOL_ICMPV6, icmp6Filter, &filter))
}

// checksum adds up words of 16 bits (RFC 1071), of which the last may be half.
func checksum(b []byte) uint32 {
	sum := uint32(0)
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

func (p *rawPing) roundTrip(sequence uint64) error {
	p.look(sequence)
	binary.BigEndian.PutUint16(p.message[6:], uint16(sequence))
	mark(p.message[icmpHeaderBytes:], sequence)
	if p.packets {
		binary.BigEndian.PutUint16(p.message[2:], 0)
		sum := p.constant + checksum(p.message[6:p.changes()])
		sum = sum&0xffff + sum>>16
		binary.BigEndian.PutUint16(p.message[2:], ^uint16(sum+sum>>16))
	}
	err := p.end.send(p.message)
	if err == nil {
		err = p.take()
	}
	if err != nil {
		return p.failed(sequence, err)
	}
	return nil
}

// take receives the reply. One to an earlier request may come before it and, at a
// raw socket, those that others have asked for.
func (p *rawPing) take() error {
	var foreign time.Time // when the first came that was none
	for {
		got, err := p.end.receive(p.response, silenceTimeout)
		if !foreign.IsZero() && time.Since(foreign) > silenceTimeout {
			err = fmt.Errorf("nothing within %v but what others asked for: %w", silenceTimeout, os.ErrDeadlineExceeded)
		}
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				p.owed++
			}
			return unanswered(err)
		}
		p.answer = p.response[:got]
		if p.packets {
			p.answer = icmp.InPacket(p.answer)
		}
		if len(p.answer) < icmpHeaderBytes || p.answer[0] != p.reply || p.shared && !bytes.Equal(p.answer[4:6], p.message[4:6]) {
			if foreign.IsZero() {
				foreign = time.Now()
			}
			continue
		}
		if p.owed > 0 && !bytes.Equal(p.answer[6:], p.message[6:]) {
			p.owed--
			continue
		}
		return nil
	}
}

func (p *rawPing) verify(sequence uint64) error {
	switch {
	case len(p.answer) != len(p.message):
		return p.failed(sequence, fmt.Errorf("response of %d bytes, want %d", len(p.answer)-icmpHeaderBytes, len(p.message)-icmpHeaderBytes))
	case !bytes.Equal(p.answer[6:8], p.message[6:8]):
		return p.failed(sequence, fmt.Errorf("the response carries sequence number %d", binary.BigEndian.Uint16(p.answer[6:])))
	}
	if err := differs(p.message[icmpHeaderBytes:], p.answer[icmpHeaderBytes:]); err != nil {
		return p.failed(sequence, err)
	}
	return nil
}
