package sandbox

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/jsimonetti/rtnetlink/v2/driver"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/iface"
)

// carrierTimeout bounds the wait for the two ends of a link to notice that the
// other is up, and for their addresses to be usable. It takes microseconds of processor time.
const carrierTimeout = 5 * time.Second

// join makes a link with both ends up and waits until packets can pass.
func (z zones) join(link Link) error {
	far := rtnetlink.NetNSForFD(uint32(z[link.B.Zone].Fd()))
	err := z.do(link.A.Zone, func() error {
		return withRoute(func(conn *rtnetlink.Conn) error {
			err := conn.Link.New(&rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{
				Name: link.A.Name,
				Info: &rtnetlink.LinkInfo{Kind: "veth", Data: &driver.Veth{PeerInfo: &rtnetlink.LinkMessage{
					Attributes: &rtnetlink.LinkAttributes{Name: link.B.Name, NetNS: far},
				}}},
			}})
			if errors.Is(err, unix.EOPNOTSUPP) {
				return denied(fmt.Errorf("make a veth: %w", err))
			}
			if err != nil {
				return fmt.Errorf("link %s in %q to %s in %q: %w", link.A.Name, link.A.Zone, link.B.Name, link.B.Zone, err)
			}
			return nil
		})
	})
	if err != nil {
		return err
	}
	for _, end := range []End{link.A, link.B} {
		if err := z.do(end.Zone, end.configure); err != nil {
			return err
		}
	}
	for _, end := range []End{link.A, link.B} {
		if err := z.do(end.Zone, end.awaitUp); err != nil {
			return err
		}
		if err := z.do(end.Zone, end.awaitAddresses); err != nil {
			return err
		}
	}
	return nil
}

// configure gives an end its addresses and sets it up.
func (e End) configure() error {
	return withRoute(func(conn *rtnetlink.Conn) error {
		index, err := interfaceIndex(e.Name)
		if err != nil {
			return err
		}
		if err := iface.Raise(e.Name); err != nil {
			return err
		}
		for _, prefix := range e.Addresses {
			if err := conn.Address.New(addressMessage(index, prefix)); err != nil {
				return fmt.Errorf("give %s the address %v: %w", e.Name, prefix, err)
			}
		}
		return nil
	})
}

// awaitUp waits until the kernel has seen that the other end is up.
func (e End) awaitUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), carrierTimeout)
	defer cancel()
	return iface.AwaitUp(ctx, e.Name)
}

// awaitAddresses waits until the addresses answer to the zone itself.
func (e End) awaitAddresses() error {
	ctx, cancel := context.WithTimeout(context.Background(), carrierTimeout)
	defer cancel()
	for _, prefix := range e.Addresses {
		if err := iface.AwaitLocal(ctx, prefix.Addr()); err != nil {
			return err
		}
	}
	return nil
}

// withRoute lends a connection to rtnetlink(7) in the calling thread's network
// namespace.
func withRoute(use func(*rtnetlink.Conn) error) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	return errors.Join(use(conn), conn.Close())
}

func addressMessage(index uint32, prefix netip.Prefix) *rtnetlink.AddressMessage {
	m := &rtnetlink.AddressMessage{
		Family:       unix.AF_INET,
		PrefixLength: uint8(prefix.Bits()),
		Index:        index,
		Attributes: &rtnetlink.AddressAttributes{
			Address: net.IP(prefix.Addr().AsSlice()),
			Local:   net.IP(prefix.Addr().AsSlice()),
		},
	}
	if prefix.Addr().Is6() {
		m.Family = unix.AF_INET6
		m.Attributes.Flags = unix.IFA_F_NODAD
	}
	return m
}

// interfaceIndex finds an interface of the calling thread's network namespace
// by its name (netdevice(7)).
func interfaceIndex(name string) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("look for %s: %w", name, err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err != nil {
		return 0, fmt.Errorf("look for %s: %w", name, err)
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFINDEX, request); err != nil {
		return 0, fmt.Errorf("look for %s: %w", name, os.NewSyscallError("SIOCGIFINDEX", err))
	}
	return request.Uint32(), nil
}
