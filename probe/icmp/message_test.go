package icmp

import (
	"bytes"
	"testing"
)

func TestMessageHasTheChecksumOfRFC1071(t *testing.T) {
	got := Message(8, 0, EchoBody(0x1234, 1, []byte("ab")))
	want := []byte{8, 0, 0x84, 0x68, 0x12, 0x34, 0, 1, 'a', 'b'}
	if !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
}

func TestInPacket(t *testing.T) {
	message := Message(8, 0, EchoBody(1, 2, nil))
	header := append([]byte{0x45}, make([]byte, 19)...)
	longer := append([]byte{0x46}, make([]byte, 23)...)
	for name, c := range map[string]struct{ packet, want []byte }{
		"plain":         {append(bytes.Clone(header), message...), message},
		"options":       {append(bytes.Clone(longer), message...), message},
		"header alone":  {header, nil},
		"cut short":     {append(bytes.Clone(header), message[:7]...), nil},
		"nothing":       {nil, nil},
		"header is cut": {longer[:20], nil},
	} {
		if got := InPacket(c.packet); !bytes.Equal(got, c.want) {
			t.Errorf("%s: % x, want % x", name, got, c.want)
		}
	}
}
