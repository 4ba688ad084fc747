//go:build !linux

package iface

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
)

var errUnsupported = fmt.Errorf("rtnetlink on %s: %w", runtime.GOOS, errors.ErrUnsupported)

// Loopback describes the loopback interface.
func Loopback() (Link, error) { return Link{}, errUnsupported }

// Others returns the machine's addresses on other interfaces than lo.
func Others() ([]Own, error) { return nil, errUnsupported }

// Addresses returns every address of every interface.
func Addresses() ([]Assigned, error) { return nil, errUnsupported }

// RouteTo asks how a packet to the address would be sent.
func RouteTo(netip.Addr) (Route, error) { return Route{}, errUnsupported }
