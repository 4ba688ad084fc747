package spec

import (
	"fmt"
	"net/netip"

	"github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// BindsForeign says whether this machine lets every socket be bound to
// addresses that it does not have, and by which setting of which value
// (Documentation/networking/ip-sysctl.rst, ip_nonlocal_bind).
func BindsForeign(family sock.Family) (setting string, does bool) {
	name := "net.ipv4.ip_nonlocal_bind"
	if family == sock.IPv6 {
		name = "net.ipv6.ip_nonlocal_bind"
	}
	value, err := sysctl.Read(name)
	if err != nil {
		return name + " is not there", false
	}
	return name + " is " + value, value != "0"
}

// Foreign returns the first of some addresses that the kernel does not take for
// the machine's own. It skips the spec where it takes all of them for that.
func Foreign(candidates ...netip.Addr) netip.Addr {
	ginkgo.GinkgoHelper()
	for _, addr := range candidates {
		// Where it cannot be asked, nothing says that it is its own.
		if own, _, err := iface.Owns(addr); err != nil || !own {
			return addr
		}
	}
	Skip(check.Need{
		Name: "an address that is not the machine's",
		How:  "take the local routes away that hold for more than its own addresses: `ip route show table local`",
	}, fmt.Sprintf("it has every one of %v", candidates))
	return netip.Addr{}
}
