package main

import (
	"encoding/binary"
	"testing"
)

// sums adds up a packet's pseudo-header and segment, which gives 0xffff where
// the checksum is right (RFC 1071).
func sums(packet []byte) uint32 {
	segment, protocol := transport(packet)
	whole := append(append([]byte{}, packet[12:20]...), segment...)
	if len(whole)%2 == 1 {
		whole = append(whole, 0)
	}
	sum := uint32(protocol) + uint32(len(segment))
	for i := 0; i < len(whole); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(whole[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

func udpPacket(data string) []byte {
	p := make([]byte, 28, 28+len(data))
	p[0], p[9] = 0x45, 17
	copy(p[12:], []byte{127, 0, 0, 1, 127, 0, 0, 1})
	binary.BigEndian.PutUint16(p[20:], 5000)
	binary.BigEndian.PutUint16(p[24:], uint16(8+len(data)))
	return append(p, data...)
}

// Whatever comes out of the device, the relay finds the payload within it and
// leaves a good checksum.
func FuzzRelayedPacket(f *testing.F) {
	f.Add(udpPacket("odd"))
	f.Add(udpPacket("even"))
	f.Add(udpPacket(""))
	f.Add(segment([4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 1}, 1, 2, 16, 3, 4))
	f.Add(append(segment([4]byte{127, 0, 0, 1}, [4]byte{127, 0, 0, 1}, 1, 2, 24, 3, 4), "data"...))
	f.Add([]byte{0x45, 0, 0})
	f.Add([]byte{0x60, 0, 0, 0, 0, 0, 17, 64})
	f.Fuzz(func(t *testing.T, packet []byte) {
		if len(packet) > 1<<16-1 {
			return
		}
		data := payload(packet)
		if len(data) == 0 {
			return
		}
		if len(data) >= len(packet)-20 {
			t.Fatalf("%d bytes of payload in a packet of %d", len(data), len(packet))
		}
		data[len(data)/2] ^= 0xff
		checksum(packet)
		if sum := sums(packet); sum != 0xffff {
			t.Errorf("the checksum is wrong: %#x", sum)
		}
	})
}
