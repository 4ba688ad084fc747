package spec

import (
	"errors"
	"net"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
)

// LacksIPv6 says why this machine is meant to have no ::1, or returns "" where
// nothing says so: IPv6 is missing from the kernel or was taken off the
// loopback interface. A ::1 that is gone for no such reason is for the check
// itself to meet.
func LacksIPv6() string { return withoutIPv6().why }

// NeedIPv6 skips the spec where this machine is meant to have no ::1, and
// fails it where ::1 ought to be there and cannot be bound. A packet to an ::1
// that no interface holds might leave the machine.
func NeedIPv6() {
	ginkgo.GinkgoHelper()
	if off := withoutIPv6(); off.why != "" {
		Skip(check.Need{Name: check.IPv6.Name, How: off.how}, off.why)
	}
	gomega.Expect(bindIPv6()).To(gomega.Succeed(), "::1 cannot be bound, though IPv6 is switched on")
}

// absence is why there is no IPv6 on loopback, and how to have it again.
type absence struct{ why, how string }

func withoutIPv6() absence {
	err := bindIPv6()
	if errors.Is(err, familyNotSupported) {
		return absence{
			why: "bind to ::1: " + familyNotSupported.Error(),
			how: "start the kernel without the parameter ipv6.disable=1; where IPv6 is a module, load it with `modprobe ipv6`",
		}
	}
	return takenOff(err)
}

func bindIPv6() error {
	c, err := net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		return err
	}
	return c.Close()
}
