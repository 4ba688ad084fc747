package iface

import (
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// Lower sets an interface down. It takes CAP_NET_ADMIN, and is for namespaces
// that are one's own.
func Lower(name string) error {
	err := change(func(conn *rtnetlink.Conn) error {
		return conn.Link.Set(&rtnetlink.LinkMessage{
			Change:     unix.IFF_UP,
			Attributes: &rtnetlink.LinkAttributes{Name: name},
		})
	})
	if err != nil {
		return fmt.Errorf("set %s down: %w", name, err)
	}
	return nil
}

// AskNobody has an interface ask for no hardware address (IFF_NOARP, netdevice(7)):
// what is sent to a neighbour that is not known goes out at once, to the
// interface's own. Otherwise it would wait for an answer, and ICMP errors that wait
// take their room from those of the whole machine, in every network namespace. It
// takes CAP_NET_ADMIN, and is for namespaces that are one's own.
func AskNobody(name string) error {
	err := change(func(conn *rtnetlink.Conn) error {
		return conn.Link.Set(&rtnetlink.LinkMessage{
			Flags:      unix.IFF_NOARP,
			Change:     unix.IFF_NOARP,
			Attributes: &rtnetlink.LinkAttributes{Name: name},
		})
	})
	if err != nil {
		return fmt.Errorf("have %s ask for no neighbour: %w", name, err)
	}
	return nil
}

// Give gives an interface an address. Duplicate address detection is off for it,
// and an address that is there already is no error. It takes CAP_NET_ADMIN, and
// is for namespaces that are one's own.
func Give(name string, prefix netip.Prefix) error {
	err := change(func(conn *rtnetlink.Conn) error {
		m, err := addressOf(name, prefix)
		if err != nil {
			return err
		}
		if err := conn.Address.New(m); !errors.Is(err, unix.EEXIST) {
			return err
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("give %s the address %v: %w", name, prefix, err)
	}
	return nil
}

// Take takes an address from an interface. It takes CAP_NET_ADMIN, and is for
// namespaces that are one's own.
func Take(name string, prefix netip.Prefix) error {
	err := change(func(conn *rtnetlink.Conn) error {
		m, err := addressOf(name, prefix)
		if err != nil {
			return err
		}
		return conn.Address.Delete(m)
	})
	if err != nil {
		return fmt.Errorf("take the address %v from %s: %w", prefix, name, err)
	}
	return nil
}

// HardwareAddress is what an interface is called on its cable (its MAC address).
func HardwareAddress(name string) (net.HardwareAddr, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("look for %s: %w", name, err)
	}
	return link.HardwareAddr, nil
}

func change(do func(*rtnetlink.Conn) error) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	return errors.Join(do(conn), conn.Close())
}

func addressOf(name string, prefix netip.Prefix) (*rtnetlink.AddressMessage, error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	m := &rtnetlink.AddressMessage{
		Family:       unix.AF_INET,
		PrefixLength: uint8(prefix.Bits()),
		Index:        uint32(link.Index),
		Attributes:   &rtnetlink.AddressAttributes{Address: prefix.Addr().AsSlice(), Local: prefix.Addr().AsSlice()},
	}
	if prefix.Addr().Is6() {
		m.Family = unix.AF_INET6
		m.Attributes.Flags = unix.IFA_F_NODAD
	}
	return m, nil
}
