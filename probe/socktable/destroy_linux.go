package socktable

import (
	"context"
	"fmt"
	"net/netip"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// Destroy has the kernel end the TCP connection between two ends, whoever has
// it, as `ss -K` does (SOCK_DESTROY, sock_diag(7)). It takes CAP_NET_ADMIN over
// the calling thread's network namespace, and is for namespaces of one's own.
// The error wraps EOPNOTSUPP where the kernel was built without it
// (CONFIG_INET_DIAG_DESTROY), and ENOENT where it has no such connection, or
// knows of none for want of its module tcp_diag.
func Destroy(ctx context.Context, local, remote netip.AddrPort) error {
	if err := destroy(ctx, local, remote); err != nil {
		return fmt.Errorf("destroy the connection from %v to %v: %w", local, remote, err)
	}
	return nil
}

func destroy(ctx context.Context, local, remote netip.AddrPort) error {
	d, err := openDiag()
	if err != nil {
		return err
	}
	defer d.close()
	stop := d.endWith(ctx)
	defer stop()
	_, err = d.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.SOCK_DESTROY, Flags: netlink.Request | netlink.Acknowledge},
		Data:   pairRequest(local, remote),
	})
	return cause(ctx, err)
}
