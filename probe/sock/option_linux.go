package sock

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// ipLocalPortRange is in include/uapi/linux/in.h since Linux 6.3.
const ipLocalPortRange = 51

var optionNumbers = [options]struct{ level, name int }{
	ReuseAddr:       {unix.SOL_SOCKET, unix.SO_REUSEADDR},
	ReusePort:       {unix.SOL_SOCKET, unix.SO_REUSEPORT},
	KeepAlive:       {unix.SOL_SOCKET, unix.SO_KEEPALIVE},
	Broadcast:       {unix.SOL_SOCKET, unix.SO_BROADCAST},
	ReceiveBuffer:   {unix.SOL_SOCKET, unix.SO_RCVBUF},
	SendBuffer:      {unix.SOL_SOCKET, unix.SO_SNDBUF},
	ReceiveLowAt:    {unix.SOL_SOCKET, unix.SO_RCVLOWAT},
	SendLowAt:       {unix.SOL_SOCKET, unix.SO_SNDLOWAT},
	PeekOffset:      {unix.SOL_SOCKET, unix.SO_PEEK_OFF},
	OOBInline:       {unix.SOL_SOCKET, unix.SO_OOBINLINE},
	ReceiveOverflow: {unix.SOL_SOCKET, unix.SO_RXQ_OVFL},
	Mark:            {unix.SOL_SOCKET, unix.SO_MARK},
	ZeroCopy:        {unix.SOL_SOCKET, unix.SO_ZEROCOPY},
	NoCheck:         {unix.SOL_SOCKET, unix.SO_NO_CHECK},

	TTL:               {unix.IPPROTO_IP, unix.IP_TTL},
	TOS:               {unix.IPPROTO_IP, unix.IP_TOS},
	Transparent:       {unix.IPPROTO_IP, unix.IP_TRANSPARENT},
	FreeBind:          {unix.IPPROTO_IP, unix.IP_FREEBIND},
	BindAddressNoPort: {unix.IPPROTO_IP, unix.IP_BIND_ADDRESS_NO_PORT},
	LocalPortRange:    {unix.IPPROTO_IP, ipLocalPortRange},
	MTUDiscover:       {unix.IPPROTO_IP, unix.IP_MTU_DISCOVER},
	MTU:               {unix.IPPROTO_IP, unix.IP_MTU},
	PacketInfo:        {unix.IPPROTO_IP, unix.IP_PKTINFO},
	ReceiveTTL:        {unix.IPPROTO_IP, unix.IP_RECVTTL},
	ReceiveTOS:        {unix.IPPROTO_IP, unix.IP_RECVTOS},
	MulticastLoop:     {unix.IPPROTO_IP, unix.IP_MULTICAST_LOOP},
	MulticastTTL:      {unix.IPPROTO_IP, unix.IP_MULTICAST_TTL},

	V6Only:            {unix.IPPROTO_IPV6, unix.IPV6_V6ONLY},
	HopLimit:          {unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS},
	V6MTU:             {unix.IPPROTO_IPV6, unix.IPV6_MTU},
	V6MTUDiscover:     {unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER},
	V6PacketInfo:      {unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO},
	V6ReceiveHopLimit: {unix.IPPROTO_IPV6, unix.IPV6_RECVHOPLIMIT},

	NoDelay:         {unix.IPPROTO_TCP, unix.TCP_NODELAY},
	MaxSegment:      {unix.IPPROTO_TCP, unix.TCP_MAXSEG},
	Cork:            {unix.IPPROTO_TCP, unix.TCP_CORK},
	KeepIdle:        {unix.IPPROTO_TCP, unix.TCP_KEEPIDLE},
	KeepInterval:    {unix.IPPROTO_TCP, unix.TCP_KEEPINTVL},
	KeepCount:       {unix.IPPROTO_TCP, unix.TCP_KEEPCNT},
	SynCount:        {unix.IPPROTO_TCP, unix.TCP_SYNCNT},
	Linger2:         {unix.IPPROTO_TCP, unix.TCP_LINGER2},
	DeferAccept:     {unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT},
	WindowClamp:     {unix.IPPROTO_TCP, unix.TCP_WINDOW_CLAMP},
	QuickAck:        {unix.IPPROTO_TCP, unix.TCP_QUICKACK},
	UserTimeout:     {unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT},
	FastOpen:        {unix.IPPROTO_TCP, unix.TCP_FASTOPEN},
	FastOpenConnect: {unix.IPPROTO_TCP, unix.TCP_FASTOPEN_CONNECT},
	Repair:          {unix.IPPROTO_TCP, unix.TCP_REPAIR},
	NotSentLowAt:    {unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT},

	Segment: {unix.IPPROTO_UDP, unix.UDP_SEGMENT},
}

// Set gives an option a value (setsockopt(2)).
func (s *Socket) Set(o Option, value int) error {
	n := optionNumbers[o]
	if err := unix.SetsockoptInt(s.fd, n.level, n.name, value); err != nil {
		return fmt.Errorf("set %s to %d on a %s socket: %w", o, value, s.kind, err)
	}
	return nil
}

// Get reads an option (getsockopt(2)).
func (s *Socket) Get(o Option) (int, error) {
	n := optionNumbers[o]
	value, err := unix.GetsockoptInt(s.fd, n.level, n.name)
	if err != nil {
		return 0, fmt.Errorf("read %s of a %s socket: %w", o, s.kind, err)
	}
	return value, nil
}

// SetBlocking makes the socket's own calls wait in the kernel, for at most the
// times that SetWaits sets, or not wait at all (O_NONBLOCK, fcntl(2)). Only the
// calls whose names begin with Try show the difference: the others look again
// until their context ends.
func (s *Socket) SetBlocking(blocking bool) error {
	if err := unix.SetNonblock(s.fd, !blocking); err != nil {
		return fmt.Errorf("change O_NONBLOCK of a %s socket: %w", s.kind, err)
	}
	return nil
}

// Blocking says whether the socket's calls wait in the kernel.
func (s *Socket) Blocking() (bool, error) {
	flags, err := unix.FcntlInt(uintptr(s.fd), unix.F_GETFL, 0)
	if err != nil {
		return false, fmt.Errorf("read O_NONBLOCK of a %s socket: %w", s.kind, err)
	}
	return flags&unix.O_NONBLOCK == 0, nil
}

// SetWaits bounds how long a receive or accept, and a send or connect, may wait
// in the kernel on a blocking socket; 0 for as long as it takes (SO_RCVTIMEO
// and SO_SNDTIMEO, socket(7)).
func (s *Socket) SetWaits(receive, send time.Duration) error {
	for _, wait := range []struct {
		name   string
		number int
		limit  time.Duration
	}{{"SO_RCVTIMEO", unix.SO_RCVTIMEO, receive}, {"SO_SNDTIMEO", unix.SO_SNDTIMEO, send}} {
		limit := unix.NsecToTimeval(int64(wait.limit))
		if err := unix.SetsockoptTimeval(s.fd, unix.SOL_SOCKET, wait.number, &limit); err != nil {
			return fmt.Errorf("set %s to %v: %w", wait.name, wait.limit, err)
		}
	}
	return nil
}

// TryAccept makes one accept and returns what the kernel says, EAGAIN where
// nobody waits and the socket does not block. What it accepts has the flags
// that accept(2) gives it.
func (s *Socket) TryAccept() (*Socket, error) {
	var fd int
	err := uninterrupted(func() (err error) {
		fd, _, err = unix.Accept4(s.fd, unix.SOCK_CLOEXEC)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	return &Socket{fd: fd, kind: s.kind, family: s.family}, nil
}

// TrySend makes one send and returns what the kernel says.
func (s *Socket) TrySend(p []byte, flags Flag) (n int, err error) {
	err = uninterrupted(func() (err error) {
		n, err = unix.SendmsgN(s.fd, p, nil, nil, flags.sending())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("send %d bytes over %s: %w", len(p), s.kind, err)
	}
	return n, nil
}

// TryRecv makes one receive and returns what the kernel says.
func (s *Socket) TryRecv(p []byte, flags Flag) (n int, err error) {
	err = uninterrupted(func() (err error) {
		n, _, err = unix.Recvfrom(s.fd, p, flags.number())
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("receive over %s: %w", s.kind, err)
	}
	return n, nil
}

// Disconnect takes the peer away from a socket: a UDP socket receives from
// everybody again, a TCP connection is reset and its socket may be used anew
// (connect(2), AF_UNSPEC).
func (s *Socket) Disconnect() error {
	unspecified := unix.RawSockaddrAny{} // AF_UNSPEC is 0
	if err := rawConnect(s.fd, &unspecified, unix.SizeofSockaddrInet4); err != nil {
		return fmt.Errorf("connect a %s socket to AF_UNSPEC: %w", s.kind, err)
	}
	return nil
}

// Dup is a second descriptor of the same socket (dup(2)).
func (s *Socket) Dup() (*Socket, error) {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("duplicate a %s socket: %w", s.kind, err)
	}
	return &Socket{fd: fd, kind: s.kind, family: s.family}, nil
}

// Unread is how many bytes wait to be read: of a stream all, of a datagram
// socket those of the first datagram (SIOCINQ, tcp(7), udp(7)).
func (s *Socket) Unread() (int, error) { return s.ioctl("SIOCINQ", unix.SIOCINQ) }

// Unsent is how many bytes the peer has not acknowledged yet, or of a datagram
// socket not received (SIOCOUTQ, tcp(7), udp(7)).
func (s *Socket) Unsent() (int, error) { return s.ioctl("SIOCOUTQ", unix.SIOCOUTQ) }

// AtMark says whether the next byte to be read is the one after which urgent
// data was sent (SIOCATMARK, tcp(7); RFC 6093).
func (s *Socket) AtMark() (bool, error) {
	const siocAtMark = 0x8905 // include/uapi/asm-generic/sockios.h
	n, err := s.ioctl("SIOCATMARK", siocAtMark)
	return n == 1, err
}

func (s *Socket) ioctl(name string, number uint) (int, error) {
	n, err := unix.IoctlGetInt(s.fd, number)
	if err != nil {
		return 0, fmt.Errorf("ask %s of a %s socket: %w", name, s.kind, err)
	}
	return n, nil
}
