// Package checksum is the Internet checksum (RFC 1071), whole and in parts.
package checksum

import "encoding/binary"

// Sum adds data to a sum of 16-bit words. An odd last byte is the upper half of
// a word.
func Sum(sum uint32, data []byte) uint32 {
	for ; len(data) > 1; data = data[2:] {
		sum += uint32(binary.BigEndian.Uint16(data))
	}
	if len(data) == 1 {
		sum += uint32(data[0]) << 8
	}
	return sum
}

// Fold is the checksum of what was summed: the complement of the ones'
// complement sum.
func Fold(sum uint32) uint16 {
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}

// Of is the checksum of data.
func Of(data []byte) uint16 { return Fold(Sum(0, data)) }
