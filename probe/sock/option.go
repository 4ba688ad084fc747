package sock

import "fmt"

// Option is an option of a socket that holds an integer (socket(7), ip(7),
// ipv6(7), tcp(7), udp(7)). Its String is the kernel's name for it.
type Option int

const (
	ReuseAddr Option = iota
	ReusePort
	KeepAlive
	Broadcast
	ReceiveBuffer // SO_RCVBUF: bytes; the kernel doubles what is set
	SendBuffer    // SO_SNDBUF: bytes; the kernel doubles what is set
	ReceiveLowAt
	SendLowAt
	PeekOffset
	OOBInline
	ReceiveOverflow // SO_RXQ_OVFL
	Mark
	ZeroCopy
	NoCheck // SO_NO_CHECK: send IPv4 datagrams without a checksum

	TTL
	TOS
	Transparent
	FreeBind
	BindAddressNoPort
	LocalPortRange // IP_LOCAL_PORT_RANGE: the low port, and the high one shifted by 16
	MTUDiscover
	MTU
	PacketInfo
	ReceiveTTL
	ReceiveTOS
	MulticastLoop
	MulticastTTL

	V6Only
	HopLimit
	V6MTU
	V6MTUDiscover
	V6PacketInfo
	V6ReceiveHopLimit

	NoDelay
	MaxSegment
	Cork
	KeepIdle     // seconds
	KeepInterval // seconds
	KeepCount
	SynCount
	Linger2     // seconds
	DeferAccept // seconds
	WindowClamp
	QuickAck
	UserTimeout // milliseconds
	FastOpen
	FastOpenConnect
	Repair
	NotSentLowAt

	Segment // UDP_SEGMENT: bytes

	options // how many there are
)

var optionNames = [options]string{
	ReuseAddr: "SO_REUSEADDR", ReusePort: "SO_REUSEPORT", KeepAlive: "SO_KEEPALIVE", Broadcast: "SO_BROADCAST",
	ReceiveBuffer: "SO_RCVBUF", SendBuffer: "SO_SNDBUF", ReceiveLowAt: "SO_RCVLOWAT", SendLowAt: "SO_SNDLOWAT",
	PeekOffset: "SO_PEEK_OFF", OOBInline: "SO_OOBINLINE", ReceiveOverflow: "SO_RXQ_OVFL", Mark: "SO_MARK",
	ZeroCopy: "SO_ZEROCOPY", NoCheck: "SO_NO_CHECK",

	TTL: "IP_TTL", TOS: "IP_TOS", Transparent: "IP_TRANSPARENT", FreeBind: "IP_FREEBIND",
	BindAddressNoPort: "IP_BIND_ADDRESS_NO_PORT", LocalPortRange: "IP_LOCAL_PORT_RANGE", MTUDiscover: "IP_MTU_DISCOVER",
	MTU: "IP_MTU", PacketInfo: "IP_PKTINFO", ReceiveTTL: "IP_RECVTTL", ReceiveTOS: "IP_RECVTOS",
	MulticastLoop: "IP_MULTICAST_LOOP", MulticastTTL: "IP_MULTICAST_TTL",

	V6Only: "IPV6_V6ONLY", HopLimit: "IPV6_UNICAST_HOPS", V6MTU: "IPV6_MTU", V6MTUDiscover: "IPV6_MTU_DISCOVER",
	V6PacketInfo: "IPV6_RECVPKTINFO", V6ReceiveHopLimit: "IPV6_RECVHOPLIMIT",

	NoDelay: "TCP_NODELAY", MaxSegment: "TCP_MAXSEG", Cork: "TCP_CORK", KeepIdle: "TCP_KEEPIDLE",
	KeepInterval: "TCP_KEEPINTVL", KeepCount: "TCP_KEEPCNT", SynCount: "TCP_SYNCNT", Linger2: "TCP_LINGER2",
	DeferAccept: "TCP_DEFER_ACCEPT", WindowClamp: "TCP_WINDOW_CLAMP", QuickAck: "TCP_QUICKACK",
	UserTimeout: "TCP_USER_TIMEOUT", FastOpen: "TCP_FASTOPEN", FastOpenConnect: "TCP_FASTOPEN_CONNECT",
	Repair: "TCP_REPAIR", NotSentLowAt: "TCP_NOTSENT_LOWAT",

	Segment: "UDP_SEGMENT",
}

func (o Option) String() string {
	if o < 0 || o >= options {
		return fmt.Sprintf("option %d", int(o))
	}
	return optionNames[o]
}
