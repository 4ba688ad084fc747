package checksum

import "testing"

// The example of RFC 1071, section 3.
func TestExample(t *testing.T) {
	data := []byte{0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7}
	if got := ^Of(data); got != 0xddf2 {
		t.Errorf("sum %#x", got)
	}
	if whole, parts := Of(data), Fold(Sum(Sum(0, data[:4]), data[4:])); whole != parts {
		t.Errorf("%#x in one, %#x in parts", whole, parts)
	}
	if got := Of([]byte{0x12, 0x34, 0x56}); got != Of([]byte{0x12, 0x34, 0x56, 0}) {
		t.Errorf("an odd byte: %#x", got)
	}
}
