package icmp

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// Message encodes a message of ICMP with its checksum (RFC 792): body is what
// follows the checksum.
func Message(kind, code uint8, body []byte) []byte {
	message := icmp.Message{Type: ipv4.ICMPType(kind), Code: int(code), Body: &icmp.RawBody{Data: body}}
	encoded, err := message.Marshal(nil)
	if err != nil {
		panic("a body of bytes cannot be encoded: " + err.Error())
	}
	return encoded
}

// EchoBody is what follows the checksum of an echo request and its like, and of
// their replies: the payload may be given in parts.
func EchoBody(id, seq uint16, payload ...[]byte) []byte {
	header := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, id), seq)
	return append(header, bytes.Join(payload, nil)...)
}

// ExtendedEcho encodes an extended echo request of IPv4 that asks for the state
// of an interface by its name (RFC 8335 2).
func ExtendedEcho(id uint16, seq uint8, name string) ([]byte, error) {
	const byName = 1
	message := icmp.Message{Type: ipv4.ICMPTypeExtendedEchoRequest, Body: &icmp.ExtendedEchoRequest{
		ID: int(id), Seq: int(seq), Local: true,
		Extensions: []icmp.Extension{&icmp.InterfaceIdent{Class: interfaceIdentification, Type: byName, Name: name}},
	}}
	encoded, err := message.Marshal(nil)
	if err != nil {
		return nil, fmt.Errorf("encode an extended echo request for %s: %w", name, err)
	}
	return encoded, nil
}

// interfaceIdentification is the class of the object (RFC 8335 2.1).
const interfaceIdentification = 3

// InPacket is the message that an IPv4 packet carries, as raw sockets receive
// it (raw(7)). It is empty where the packet is too short for one.
func InPacket(packet []byte) []byte {
	if len(packet) < ipv4.HeaderLen {
		return nil
	}
	header := int(packet[0]&0x0f) * 4
	if len(packet) < header+echoHeaderBytes {
		return nil
	}
	return packet[header:]
}
