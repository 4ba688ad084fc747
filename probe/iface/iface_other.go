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

// SetMTU sets the largest packet that an interface takes whole.
func SetMTU(string, int) error { return errUnsupported }

// MTU is the largest packet that an interface takes whole, in bytes.
func MTU(string) (int, error) { return 0, errUnsupported }

// Features returns the offloads of an interface by the kernel's names.
func Features(string) (map[string]Feature, error) { return nil, errUnsupported }

// Bridges are the bridges among the interfaces, on Linux.
func Bridges() ([]string, error) { return nil, errUnsupported }
