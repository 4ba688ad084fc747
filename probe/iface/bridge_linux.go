package iface

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// AddBridge makes a bridge of the calling thread's network namespace, with
// interfaces of it as ports, and sets it up (Documentation/networking/bridge.rst).
// It forwards at once: the spanning tree protocol is off. It takes CAP_NET_ADMIN,
// and is for namespaces that are one's own. The error wraps EOPNOTSUPP where the
// kernel has no bridges.
func AddBridge(name string, ports ...string) error {
	err := change(func(conn *rtnetlink.Conn) error {
		return conn.Link.New(&rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{
			Name: name, Info: &rtnetlink.LinkInfo{Kind: "bridge"},
		}})
	})
	if err != nil {
		return fmt.Errorf("make the bridge %s: %w", name, err)
	}
	for _, port := range ports {
		if err := addPort(name, port); err != nil {
			return fmt.Errorf("make %s a port of the bridge %s: %w", port, name, err)
		}
	}
	return Raise(name)
}

func addPort(bridge, port string) error {
	link, err := net.InterfaceByName(bridge)
	if err != nil {
		return err
	}
	master := uint32(link.Index)
	return change(func(conn *rtnetlink.Conn) error {
		return conn.Link.Set(&rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{Name: port, Master: &master}})
	})
}

// Bridges are the bridges among the interfaces of the calling thread's network
// namespace.
func Bridges() (names []string, err error) {
	err = change(func(conn *rtnetlink.Conn) error {
		links, err := conn.Link.List()
		for _, l := range links {
			if l.Attributes != nil && l.Attributes.Info != nil && l.Attributes.Info.Kind == "bridge" {
				names = append(names, l.Attributes.Name)
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list the bridges: %w", err)
	}
	return names, nil
}

// SetHairpin has a bridge send frames out of the port that they came in through,
// or, as by default, not (hairpin, ip-link(8)). It takes CAP_NET_ADMIN, and is for
// namespaces that are one's own.
func SetHairpin(port string, on bool) error {
	err := change(func(conn *rtnetlink.Conn) error {
		return conn.Link.Set(&rtnetlink.LinkMessage{Attributes: &rtnetlink.LinkAttributes{
			Name: port,
			Info: &rtnetlink.LinkInfo{Kind: "veth", SlaveKind: "bridge", SlaveData: &hairpin{on: on}},
		}})
	})
	if err != nil {
		return fmt.Errorf("set hairpin of %s: %w", port, err)
	}
	return nil
}

// hairpin is the setting as rtnetlink takes it.
type hairpin struct{ on bool }

// portMode is IFLA_BRPORT_MODE (linux/if_link.h).
const portMode = 4

func (h *hairpin) New() rtnetlink.LinkDriver              { return &hairpin{} }
func (h *hairpin) Kind() string                           { return "bridge" }
func (h *hairpin) Slave()                                 {}
func (h *hairpin) Decode(*netlink.AttributeDecoder) error { return nil }
func (h *hairpin) Encode(ae *netlink.AttributeEncoder) error {
	value := uint8(0)
	if h.on {
		value = 1
	}
	ae.Uint8(portMode, value)
	return nil
}

// AwaitUp waits until an interface is operational (RFC 2863, IF_OPER_UP), which
// the kernel announces some time after it and what it is joined to were set up.
func AwaitUp(ctx context.Context, name string) error {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return fmt.Errorf("wait for %s to be up: %w", name, err)
	}
	conn, err := rtnetlink.Dial(&netlink.Config{Groups: unix.RTMGRP_LINK})
	if err != nil {
		return fmt.Errorf("open rtnetlink: %w", err)
	}
	defer conn.Close()
	if deadline, has := ctx.Deadline(); has {
		if err := conn.SetReadDeadline(deadline); err != nil {
			return fmt.Errorf("wait for %s to be up: %w", name, err)
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	// Asked after the subscription, so that no change is missed: the answer comes
	// in line with the announcements.
	ask := rtnetlink.LinkMessage{Index: uint32(link.Index)}
	if _, err := conn.Send(&ask, unix.RTM_GETLINK, netlink.Request); err != nil {
		return fmt.Errorf("ask for the state of %s: %w", name, err)
	}
	for {
		messages, _, err := conn.Receive()
		if err != nil {
			return fmt.Errorf("wait for %s to be up: %w", name, err)
		}
		for _, m := range messages {
			if l, ok := m.(*rtnetlink.LinkMessage); ok && l.Index == uint32(link.Index) &&
				l.Attributes != nil && l.Attributes.OperationalState == rtnetlink.OperStateUp {
				return nil
			}
		}
	}
}
