package routing

import (
	"strings"
	"testing"
)

func FuzzDecodeRule(f *testing.F) {
	f.Add([]byte("\x02\x08\x00\x00\xff\x00\x00\x01\x00\x00\x00\x00\x08\x00\x06\x00\x32\x00\x00\x00\x08\x00\x01\x00\x7f\x00\x00\x00\x0c\x00\x14\x00\xe8\x03\x00\x00\xe9\x03\x00\x00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, err := decodeRule(data); err == nil && !strings.Contains(r.String(), "from ") {
			t.Errorf("%q", r)
		}
	})
}

func TestDecodeRule(t *testing.T) {
	r, err := decodeRule([]byte("\x02\x08\x00\x00\xff\x00\x00\x08\x00\x00\x00\x00\x08\x00\x06\x00\x32\x00\x00\x00\x08\x00\x01\x00\x7f\x00\x00\x00\x0c\x00\x14\x00\xe8\x03\x00\x00\xe9\x03\x00\x00"))
	if err != nil || r.String() != "50: from all to 127.0.0.0/8 uidrange 1000-1001 prohibit" {
		t.Errorf("%q, %v", r, err)
	}
	if !meets(r, loopback4, 1001) || meets(r, loopback4, 0) {
		t.Error("it goes by the wrong users")
	}
}
