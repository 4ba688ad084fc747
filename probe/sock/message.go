package sock

import "net/netip"

// Message is one datagram that was received, with what the kernel tells beside
// it where it was asked to (recvmsg(2)).
type Message struct {
	Bytes int // of the datagram, as far as they fit the buffer
	From  netip.AddrPort
	// Destination is the address that it was sent to, Interface the number of
	// the interface that it came in by: PacketInfo and V6PacketInfo.
	Destination netip.Addr
	Interface   int
	// Dropped is how many datagrams the socket had lost for want of room when
	// this one was queued: ReceiveOverflow.
	Dropped uint32
}
