package ping

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// Types of ICMP and ICMPv6 (RFC 792, RFC 4443, RFC 8335).
const (
	echoReply           = 0
	echoRequest         = 8
	timestampRequest    = 13
	timestampReply      = 14
	informationRequest  = 15
	addressMaskRequest  = 17
	extendedEchoRequest = 42
	echoRequest6        = 128
	echoReply6          = 129
)

// heard is a message of ICMP or ICMPv6 that a socket received.
type heard struct {
	Type, Code uint8
	// ID and Seq are what echoes and their like have there.
	ID, Seq uint16
	Data    []byte
}

func (h heard) String() string {
	return fmt.Sprintf("type %d, code %d, identifier %d, sequence number %d", h.Type, h.Code, h.ID, h.Seq)
}

// talk is a socket of ICMP in a sandbox.
type talk struct {
	*sock.Socket
	family sock.Family
	raw    bool
}

// openRaw opens a raw socket, which receives every message of the zone, those
// that it sends included.
func openRaw(family sock.Family) (talk, error) {
	s, err := sock.NewRawICMP(family)
	return talk{s, family, true}, err
}

func openPing(family sock.Family) (talk, error) {
	s, err := sock.New(sock.Ping, family)
	return talk{s, family, false}, err
}

// say sends a message to the family's loopback address.
func (t talk) say(ctx context.Context, message []byte) error {
	_, err := t.SendTo(ctx, message, t.family.Loopback(0), 0)
	return err
}

// ask sends an echo request.
func (t talk) ask(ctx context.Context, id, seq uint16) error {
	kind := uint8(echoRequest)
	if t.family == sock.IPv6 {
		kind = echoRequest6
	}
	return t.say(ctx, icmp.Message(kind, 0, icmp.EchoBody(id, seq, []byte("is anybody there"))))
}

// hear receives one message.
func (t talk) hear(ctx context.Context) (heard, error) {
	buf := make([]byte, 1<<12)
	for {
		n, err := t.Recv(ctx, buf, 0)
		if err != nil {
			return heard{}, err
		}
		message := buf[:n]
		if t.raw && t.family == sock.IPv4 {
			message = icmp.InPacket(message)
		}
		if h, ok := parse(message); ok {
			return h, nil
		}
	}
}

func parse(message []byte) (heard, bool) {
	const header = 8
	if len(message) < header {
		return heard{}, false
	}
	return heard{
		Type: message[0], Code: message[1],
		ID: binary.BigEndian.Uint16(message[4:]), Seq: binary.BigEndian.Uint16(message[6:]),
		Data: message[header:],
	}, true
}

// awaitEcho receives until the echo reply of that identifier and sequence
// number is there, and returns all that came before it but for requests, and
// the reply as the last.
func (t talk) awaitEcho(ctx context.Context, id, seq uint16) ([]heard, error) {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	var all []heard
	for {
		h, err := t.hear(ctx)
		if err != nil {
			return all, fmt.Errorf("await the echo reply %d from %v: %w", seq, t.family.Loopback(0).Addr(), err)
		}
		if isRequest(h.Type) {
			continue
		}
		all = append(all, h)
		if isEchoReply(h.Type) && h.ID == id && h.Seq == seq {
			return all, nil
		}
	}
}

func isRequest(kind uint8) bool {
	switch kind {
	case echoRequest, timestampRequest, informationRequest, addressMaskRequest, extendedEchoRequest, echoRequest6:
		return true
	}
	return false
}

func isEchoReply(kind uint8) bool { return kind == echoReply || kind == echoReply6 }

// answered are the sequence numbers of the echo replies of an identifier among
// what was heard.
func answered(all []heard, id uint16) []uint16 {
	var seqs []uint16
	for _, h := range all {
		if isEchoReply(h.Type) && h.ID == id {
			seqs = append(seqs, h.Seq)
		}
	}
	return seqs
}

// counted waits until a counter of this thread's network namespace has moved
// by so much. One that the kernel does not list yet has not moved.
func counted(ctx context.Context, since counters.Snapshot, group, name string, least int64) (counters.Snapshot, error) {
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	for {
		now, err := counters.Read()
		if err != nil {
			return nil, err
		}
		moved := now.Sub(since)
		if moved[group][name] >= least {
			return moved, nil
		}
		if err := ctx.Err(); err != nil {
			return moved, errors.Join(fmt.Errorf("%s %s has moved by %d, not by %d", group, name, moved[group][name], least), err)
		}
		time.Sleep(time.Millisecond) // nothing tells of a counter
	}
}
