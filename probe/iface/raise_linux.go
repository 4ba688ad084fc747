package iface

import (
	"errors"
	"fmt"

	"github.com/jsimonetti/rtnetlink/v2"
	"golang.org/x/sys/unix"
)

// Raise sets an interface up, such as lo, which a fresh network namespace has
// down. It takes CAP_NET_ADMIN, and is for namespaces that are one's own.
func Raise(name string) error {
	conn, err := rtnetlink.Dial(nil)
	if err != nil {
		return fmt.Errorf("set %s up: open rtnetlink: %w", name, err)
	}
	err = conn.Link.Set(&rtnetlink.LinkMessage{
		Flags:      unix.IFF_UP,
		Change:     unix.IFF_UP,
		Attributes: &rtnetlink.LinkAttributes{Name: name},
	})
	if err != nil {
		err = fmt.Errorf("set %s up: %w", name, err)
	}
	return errors.Join(err, conn.Close())
}
