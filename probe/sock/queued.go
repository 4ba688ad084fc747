package sock

import "fmt"

// ICMPError is an ICMP or ICMPv6 error that reached a socket, by the type and
// code of its message (RFC 792, RFC 4443 3).
type ICMPError struct{ Type, Code uint8 }

func (e ICMPError) Error() string {
	return fmt.Sprintf("ICMP error of type %d, code %d", e.Type, e.Code)
}
