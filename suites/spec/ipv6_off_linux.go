package spec

import (
	"fmt"
	"net"

	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// minimumMTU is what IPv6 asks of every link (RFC 8200 5). Linux takes IPv6 off
// an interface whose MTU is set below it.
const minimumMTU = 1280

// takenOff looks at the settings that take ::1 off lo, whatever the attempt to
// bind to it gave: with net.ipv6.ip_nonlocal_bind it succeeds without ::1. That
// lo is down is no such setting.
func takenOff(error) absence {
	// Setting net.ipv6.conf.all.disable_ipv6 sets this one, too.
	const setting = "net.ipv6.conf.lo.disable_ipv6"
	if value, err := sysctl.Read(setting); err == nil && value == "1" {
		return absence{
			why: setting + " is 1",
			how: "give lo its ::1 again with `sysctl -w " + setting + "=0`",
		}
	}
	lo, err := net.InterfaceByName("lo")
	if err == nil && lo.MTU < minimumMTU {
		return absence{
			why: fmt.Sprintf("the MTU of lo is %d, and IPv6 needs %d", lo.MTU, minimumMTU),
			how: "raise it and give lo its ::1 again with `ip link set dev lo mtu 65536` and `ip address add ::1/128 dev lo`",
		}
	}
	return absence{}
}
