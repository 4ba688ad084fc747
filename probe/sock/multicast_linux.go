package sock

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// JoinGroup makes the socket receive what is sent to an IPv4 multicast group
// over the interface of that number (IP_ADD_MEMBERSHIP, ip(7)).
func (s *Socket) JoinGroup(group netip.Addr, iface int) error {
	request := unix.IPMreqn{Multiaddr: group.As4(), Ifindex: int32(iface)}
	if err := unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, unix.IP_ADD_MEMBERSHIP, &request); err != nil {
		return fmt.Errorf("join %s on interface %d: %w", group, iface, err)
	}
	return nil
}

// SetMulticastInterface makes the socket send to IPv4 multicast groups over the
// interface of that number, from that address (IP_MULTICAST_IF, ip(7)). Of
// itself the kernel chooses no source that is good on the machine alone, as all
// of lo's are.
func (s *Socket) SetMulticastInterface(iface int, source netip.Addr) error {
	request := unix.IPMreqn{Address: source.As4(), Ifindex: int32(iface)}
	if err := unix.SetsockoptIPMreqn(s.fd, unix.IPPROTO_IP, unix.IP_MULTICAST_IF, &request); err != nil {
		return fmt.Errorf("set IP_MULTICAST_IF to %s on interface %d: %w", source, iface, err)
	}
	return nil
}

// InterfaceNumber is that of the interface of that name, in the network
// namespace of the calling thread (SIOCGIFINDEX, netdevice(7)).
func (s *Socket) InterfaceNumber(name string) (int, error) {
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(s.fd, unix.SIOCGIFINDEX, request)
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the number of interface %s: %w", name, err)
	}
	return int(request.Uint32()), nil
}
