package iface

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/jsimonetti/rtnetlink/v2"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// AwaitLocal waits until the kernel delivers packets to an address of the
// machine to itself. It does so for an IPv6 address only some time after the
// address was given to an interface, and sends them out until then.
func AwaitLocal(ctx context.Context, addr netip.Addr) error {
	groups := uint32(unix.RTMGRP_IPV4_ROUTE)
	if addr.Is6() {
		groups = unix.RTMGRP_IPV6_ROUTE
	}
	// Subscribed before the first look, so that no change is missed.
	changes, err := rtnetlink.Dial(&netlink.Config{Groups: groups})
	if err != nil {
		return fmt.Errorf("watch the routes: %w", err)
	}
	defer changes.Close()
	if deadline, has := ctx.Deadline(); has {
		if err := changes.SetReadDeadline(deadline); err != nil {
			return fmt.Errorf("watch the routes: %w", err)
		}
	}
	for {
		route, err := RouteTo(addr)
		if err == nil && route.Local {
			return nil
		}
		if err != nil && !errors.Is(err, syscall.ENETUNREACH) && !errors.Is(err, syscall.EHOSTUNREACH) {
			return err
		}
		// A change that was lost for want of room is a change all the same.
		if _, _, err := changes.Receive(); err != nil && !errors.Is(err, syscall.ENOBUFS) {
			return fmt.Errorf("wait for the local route of %v: %w", addr, err)
		}
	}
}
