package sock

import "golang.org/x/sys/unix"

// NewRaw opens a raw socket for the packets of one protocol of IP, by its
// number (raw(7)). Over IPv4 it receives them with their headers, over IPv6
// without; it sends what follows the header. It takes CAP_NET_RAW.
func NewRaw(family Family, protocol int) (*Socket, error) {
	return open(Raw, family, unix.SOCK_RAW, protocol)
}

// NewRawICMP is NewRaw for the family's own ICMP. The kernel adds the checksum
// of ICMPv6 and leaves that of ICMP to the sender.
func NewRawICMP(family Family) (*Socket, error) { return NewRaw(family, family.icmp()) }

func (f Family) icmp() int {
	if f == IPv6 {
		return unix.IPPROTO_ICMPV6
	}
	return unix.IPPROTO_ICMP
}
