//go:build !linux

package iface

import (
	"net"
	"net/netip"
)

// Raise and Lower set an interface up and down, on Linux.
func Raise(string) error { return errUnsupported }
func Lower(string) error { return errUnsupported }

// Give and Take give an interface an address and take it away, on Linux.
func Give(string, netip.Prefix) error { return errUnsupported }
func Take(string, netip.Prefix) error { return errUnsupported }

// HardwareAddress is what an interface is called on its cable, on Linux.
func HardwareAddress(string) (net.HardwareAddr, error) { return nil, errUnsupported }
