// Package containers holds the checks of what localhost means where containers
// run: whose 127.0.0.1 a program talks to, by which ways a published port is
// reached, and by which it must not be.
//
// A container is, to the network stack, a network namespace that is joined by a
// veth(4) to a bridge of the host. So the checks build host, containers and the
// world outside from the namespaces of a sandbox, and load the rules that Docker
// writes for them. No engine takes part and nothing of the machine's own is
// changed. With an engine that the user names, the same is asked of real
// containers: see DeclareEngine.
package containers

import (
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// Name is that of the suite.
const Name = "containers"

var suite = spec.NewSuiteOnRequest(Name, "Containers: what localhost means there", 1020)

var (
	bridgeDevices = check.Need{
		Name: "bridge devices",
		How:  "load them with `modprobe bridge`, for a container on the machine that runs it, or use a kernel with CONFIG_BRIDGE",
	}
	addressTranslation = check.Need{
		Name: "address translation",
		How:  "load it with `modprobe -a nft_chain_nat nft_nat nft_fib_ipv4 nft_fib_ipv6 nft_masq nft_ct nft_compat xt_addrtype xt_conntrack xt_nat xt_MASQUERADE`, for a container on the machine that runs it, or use a kernel with CONFIG_NF_NAT",
	}
	bridgedRules = check.Need{
		Name: "br_netfilter",
		How:  "load it with `modprobe br_netfilter`, for a container on the machine that runs it, or use a kernel with CONFIG_BRIDGE_NETFILTER",
	}
	ruleProgram = check.Need{
		Name: "nft or iptables",
		How:  "install Debian's packages nftables and iptables, or the like",
	}
)

// needs is what every check takes that asks through rules.
var needs = []check.Need{check.Sandbox, bridgeDevices, addressTranslation, ruleProgram}

// Causes and remedies that many checks share.
var (
	causes = []string{
		"a kernel whose netfilter, bridge or veth code has a defect or lacks a fix, as after an upgrade or a port to a small device",
		"a kernel module or an eBPF program of a security product or container network that handles packets of every network namespace",
		"a user-space network stack (gVisor, WSL 1) that knows bridges and address translation in part only",
	}
	remedies = []string{
		"see which hooks other code has registered: `nft list hooks`, `bpftool net show`, `bpftool cgroup tree`",
		"start the kernel that the distribution shipped before and run this check again: `loopcheck run --suite containers`",
	}
	// forwardingCauses and forwardingRemedies are for what a real host lacks most
	// often where a port is published and not reached.
	forwardingCauses = append([]string{
		"on a real host: net.ipv4.ip_forward is 0, as after another tool's sysctl file was applied last",
		"on a real host: a firewall (firewalld, ufw, a script with `nft flush ruleset`) removed the engine's rules, or its forward chain drops first",
	}, causes...)
	forwardingRemedies = append([]string{
		"look at `sysctl net.ipv4.ip_forward`; forwarding is on again with `sysctl -w net.ipv4.ip_forward=1`",
		"have the engine write its rules anew: `systemctl restart docker`, `podman network reload --all`",
		"see which rule takes the packets: `nft list ruleset`, or `loopcheck firewall map` for what is let through",
	}, remedies...)
)
