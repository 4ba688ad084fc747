package addressing

import (
	"net/netip"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
)

var _ = suite.It("lets neighbours reach 127.0.0.1 with route_localnet, but not past a rule that drops them", check.Check{
	ID: "ADDR-018", Grade: check.GradeFail, OS: "linux", Needs: append([]check.Need{wireNFTables}, wireNeeds...),
	Source: "Documentation/networking/ip-sysctl.rst, route_localnet; CVE-2020-8558 (kube-proxy); nft(8)",
	Asks:   "In a sandbox whose eth0 a cable joins to a neighbour, sets net.ipv4.conf.eth0.route_localnet to 1 and has the neighbour send a datagram to a socket bound to 127.0.0.1: it must arrive. Then loads `iifname != lo ip daddr 127.0.0.0/8 drop` at the input hook and has it sent again: it must not arrive, and the rule must have counted it.",
	Why:    "Kubernetes and others that publish ports on 127.0.0.1 set route_localnet, and with it hand every service there to the neighbours on the same network. That rule is what they are told to close it with; where it does not hold, etcd, kubelet and databases on localhost are open.",
	Causes: []string{
		wireForeignStack, wireForeignCode,
		"a kernel whose nf_tables has a defect",
	},
	Remedies: []string{
		wireHostsKernel, wireLookForCode,
		"on the machine itself set it to 0 where nothing needs it: `sysctl -w net.ipv4.conf.all.route_localnet=0`; see which interfaces have it: `sysctl -ar 'ipv4.conf.*.route_localnet'`",
	},
}, func(ctx SpecContext) {
	home := sock.IPv4.Loopback(0).Addr()
	reach := wireFrom(wireOther.Addr(), home, "for 127.0.0.1")
	plan := wirePlan{
		Settings: map[string]string{"net.ipv4.conf." + wireCard + ".route_localnet": "1"},
		At:       home,
		Send:     []wireDatagram{reach.arriving()},
	}
	expectWire(ctx, plan, "with route_localnet at 1")
	plan.Rule = true
	plan.At = netip.IPv4Unspecified() // for the control, which is not for 127.0.0.1
	plan.Send = []wireDatagram{reach, wireControl(sock.IPv4)}
	plan.Counted = map[string]int64{wireRuleCounter: 1}
	expectWire(ctx, plan, "with route_localnet at 1 and the rule")
})

var _ = suite.It("takes at one interface what is for its address on another", check.Check{
	ID: "ADDR-021", Grade: check.GradeFail, OS: "linux", Needs: wireNeeds,
	Source: "RFC 1122 3.3.4.2 (weak and strong end system model); Documentation/networking/ip-sysctl.rst, arp_ignore (the address belongs to the complete host)",
	Asks:   "In a sandbox whose eth0 a cable joins to a neighbour and whose lo has 198.51.100.1 as well, has the neighbour send a datagram to that address over the cable. A socket that is bound to it must receive it.",
	Why:    "Service addresses on lo live by it: load balancing with direct return (LVS, keepalived), anycast DNS and BGP to the host, Kubernetes' and MetalLB's service addresses. It also means that a service bound to an internal address is not hidden from the other networks that the machine is on. (Windows does not behave so.)",
	Causes: []string{
		wireForeignStack, wireForeignCode,
	},
	Remedies: []string{
		wireHostsKernel, wireLookForCode,
		"on the machine itself, see what drops them there: `nft list ruleset`, `sysctl -ar 'ipv4.conf.*.rp_filter'`, `nstat -az TcpExtIPReversePathFilter`",
	},
}, func(ctx SpecContext) {
	plan := wirePlan{
		Second: true,
		At:     wireSecond.Addr(),
		Send:   []wireDatagram{wireFrom(wireOther.Addr(), wireSecond.Addr(), "for the address on lo").arriving()},
	}
	expectWire(ctx, plan, "an address of lo, asked for at eth0")
})
