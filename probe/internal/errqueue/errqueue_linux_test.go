package errqueue

import (
	"encoding/binary"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// entry is a control message as the kernel writes it.
func entry(level, kind int32, e unix.SockExtendedErr) []byte {
	data := (*[unsafe.Sizeof(e)]byte)(unsafe.Pointer(&e))[:]
	// The address of who sent the error follows it (ip(7), SO_EE_OFFENDER).
	data = append(data[:len(data):len(data)], make([]byte, unix.SizeofSockaddrInet4)...)
	message := make([]byte, unix.CmsgSpace(len(data)))
	h := (*unix.Cmsghdr)(unsafe.Pointer(&message[0]))
	h.Level, h.Type = level, kind
	h.SetLen(unix.CmsgLen(len(data)))
	copy(message[unix.CmsgLen(0):], data)
	return message
}

func TestDecode(t *testing.T) {
	refused := unix.SockExtendedErr{Errno: uint32(unix.ECONNREFUSED), Origin: unix.SO_EE_ORIGIN_ICMP, Type: 3, Code: 13}
	tooLong := unix.SockExtendedErr{Errno: uint32(unix.EMSGSIZE), Origin: unix.SO_EE_ORIGIN_LOCAL}
	refused6 := unix.SockExtendedErr{Errno: uint32(unix.EACCES), Origin: unix.SO_EE_ORIGIN_ICMP6, Type: 1, Code: 5}
	ttl := entry(unix.IPPROTO_IP, unix.IP_TTL, unix.SockExtendedErr{Origin: unix.SO_EE_ORIGIN_ICMP})
	for name, c := range map[string]struct {
		control []byte
		want    Error
		ok      bool
	}{
		"nothing":                 {nil, Error{}, false},
		"ICMP":                    {entry(unix.IPPROTO_IP, unix.IP_RECVERR, refused), Error{3, 13, false, unix.ECONNREFUSED}, true},
		"ICMPv6":                  {entry(unix.IPPROTO_IPV6, unix.IPV6_RECVERR, refused6), Error{1, 5, true, unix.EACCES}, true},
		"behind another message":  {append(ttl, entry(unix.IPPROTO_IP, unix.IP_RECVERR, refused)...), Error{3, 13, false, unix.ECONNREFUSED}, true},
		"another message":         {ttl, Error{}, false},
		"of this machine's doing": {entry(unix.IPPROTO_IP, unix.IP_RECVERR, tooLong), Error{}, false},
		"cut short":               {entry(unix.IPPROTO_IP, unix.IP_RECVERR, refused)[:unix.CmsgLen(8)], Error{}, false},
	} {
		if got, ok := Decode(c.control); got != c.want || ok != c.ok {
			t.Errorf("%s: got %+v, %v; want %+v, %v", name, got, ok, c.want, c.ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(entry(unix.IPPROTO_IP, unix.IP_RECVERR, unix.SockExtendedErr{Origin: unix.SO_EE_ORIGIN_ICMP, Type: 3, Code: 3}))
	f.Add(make([]byte, unix.SizeofCmsghdr))
	f.Add(binary.NativeEndian.AppendUint64(nil, 1<<63))
	f.Fuzz(func(t *testing.T, control []byte) {
		if e, ok := Decode(control); !ok && e != (Error{}) {
			t.Errorf("found nothing, and yet %+v", e)
		}
	})
}
