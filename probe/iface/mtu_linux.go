package iface

import (
	"errors"
	"fmt"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// SetMTU sets the largest packet that an interface takes whole. It takes
// CAP_NET_ADMIN, and is for namespaces that are one's own.
func SetMTU(name string, bytes int) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return fmt.Errorf("set the MTU of %s: open rtnetlink: %w", name, err)
	}
	err = conn.Link.Set(&rtnetlink.LinkMessage{
		Attributes: &rtnetlink.LinkAttributes{Name: name, MTU: uint32(bytes)},
	})
	if err != nil {
		err = fmt.Errorf("set the MTU of %s to %d: %w", name, bytes, err)
	}
	return errors.Join(err, conn.Close())
}

// MTU is the largest packet that an interface takes whole, in bytes. Unlike
// Loopback it asks without rtnetlink (SIOCGIFMTU, netdevice(7)).
func MTU(name string) (int, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("ask for the MTU of %s: open a socket: %w", name, err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq(name)
	if err == nil {
		err = unix.IoctlIfreq(fd, unix.SIOCGIFMTU, request)
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the MTU of %s: %w", name, err)
	}
	return int(request.Uint32()), nil
}
