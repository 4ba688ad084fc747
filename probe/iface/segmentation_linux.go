package iface

import (
	"encoding/binary"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// segmentation reads an interface's limits of generic segmentation offload
// (IFLA_GSO_MAX_SEGS and IFLA_GSO_MAX_SIZE, include/uapi/linux/if_link.h).
func segmentation(index uint32) (segments, bytes uint32, err error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return 0, 0, fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	request := make([]byte, unix.SizeofIfInfomsg)
	binary.NativeEndian.PutUint32(request[4:], index)
	replies, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request}, Data: request,
	})
	if err != nil {
		return 0, 0, fmt.Errorf("ask for interface %d: %w", index, err)
	}
	for _, reply := range replies {
		if len(reply.Data) < unix.SizeofIfInfomsg {
			continue
		}
		attributes, err := netlink.NewAttributeDecoder(reply.Data[unix.SizeofIfInfomsg:])
		if err != nil {
			return 0, 0, fmt.Errorf("decode interface %d: %w", index, err)
		}
		for attributes.Next() {
			switch attributes.Type() {
			case unix.IFLA_GSO_MAX_SEGS:
				segments = attributes.Uint32()
			case unix.IFLA_GSO_MAX_SIZE:
				bytes = attributes.Uint32()
			}
		}
		if err := attributes.Err(); err != nil {
			return 0, 0, fmt.Errorf("decode interface %d: %w", index, err)
		}
	}
	return segments, bytes, nil
}
