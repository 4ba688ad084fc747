package spec

import (
	"errors"
	"net"
	"syscall"

	"github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
)

// LacksIPv6 says why nothing can be bound to ::1 here, or returns "" where the
// family and the address are there. Any other refusal is for the check itself
// to meet.
func LacksIPv6() string {
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err == nil {
		_ = c.Close()
		return ""
	}
	for _, absent := range []syscall.Errno{addressNotAvailable, familyNotSupported} {
		if errors.Is(err, absent) {
			return "bind to ::1: " + absent.Error()
		}
	}
	return ""
}

// NeedIPv6 skips the spec where there is no ::1.
func NeedIPv6() {
	ginkgo.GinkgoHelper()
	if why := LacksIPv6(); why != "" {
		Skip(check.IPv6, why)
	}
}
