package containers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// publication is a port of a container that is reached through one of the host.
type publication struct {
	Protocol sock.Kind
	// On is the host's address that it is published on; the zero Addr stands for
	// all of them.
	On   netip.Addr
	Port uint16
	// Zone is the container, and To the port that its service has.
	Zone string
	To   uint16
}

// httpPort is what most checks publish: `docker run -p 8080:80`.
var httpPort = publication{Port: published, Zone: web, To: inside}

// docker is the rules that Docker writes for containers.
type docker struct {
	// Containers are those that run.
	Containers []string
	Ports      []publication
	// WithoutProxy is for an engine that runs no proxy (`--userland-proxy=false`):
	// the rules then translate what the host sends to 127.0.0.0/8 and what a
	// container sends to its own published port.
	WithoutProxy bool
}

// ruleNames begin the names of the files of a family.
var ruleNames = [2]string{"rules of IPv4", "rules of IPv6"}

// nftables writes the rules as Docker's nftables backend does (Docker 29,
// `--firewall-backend=nftables`).
func (d docker) nftables() []ruleset.File {
	var files []ruleset.File
	for _, family := range []sock.Family{sock.IPv4, sock.IPv6} {
		files = append(files, ruleset.File{Name: ruleNames[family] + " for nftables", Format: ruleset.NftScript, Text: d.nftTable(family)})
	}
	return files
}

// iptables writes the rules as Docker does with iptables (Docker 28).
func (d docker) iptables() []ruleset.File {
	formats := [2]ruleset.Format{ruleset.IPTablesSave, ruleset.IP6TablesSave}
	var files []ruleset.File
	for _, family := range []sock.Family{sock.IPv4, sock.IPv6} {
		// Traced has them go into nf_tables, by iptables-nft.
		files = append(files, ruleset.File{Name: ruleNames[family] + " for iptables", Format: formats[family], Traced: true, Text: d.iptablesTables(family)})
	}
	return files
}

// bridges are those of the containers, in order.
func (d docker) bridges() []string {
	var names []string
	for _, c := range d.Containers {
		names = append(names, bridgeOf[c])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// ports are the publications of a family, as rules name them.
func (d docker) ports(family sock.Family) []rulePort {
	var ports []rulePort
	for _, p := range d.Ports {
		if p.On.IsValid() && familyOf(p.On) != family {
			continue
		}
		ports = append(ports, rulePort{publication: p, bridge: bridgeOf[p.Zone], at: containersOn[p.Zone].port(family, p.To)})
	}
	return ports
}

type rulePort struct {
	publication
	bridge string
	at     netip.AddrPort
}

var (
	loopbackNetworks = [2]string{"127.0.0.0/8", "::1"}
	nftFamilies      = [2]string{"ip", "ip6"}
)

func (d docker) nftTable(family sock.Family) string {
	ip := nftFamilies[family]
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	jumps := func(name, prefix string) {
		var elements []string
		for _, bridge := range d.bridges() {
			elements = append(elements, fmt.Sprintf("%q : jump %s__%s", bridge, prefix, bridge))
		}
		line("map %s { type ifname : verdict; elements = { %s }; }", name, strings.Join(elements, ", "))
	}
	line("table %s docker-bridges {", ip)
	for _, bridge := range d.bridges() {
		d.nftBridge(family, bridge, line)
	}
	jumps("filter-forward-in-jumps", "filter-forward-in")
	jumps("filter-forward-out-jumps", "filter-forward-out")
	jumps("nat-postrouting-in-jumps", "nat-postrouting-in")
	jumps("nat-postrouting-out-jumps", "nat-postrouting-out")
	line("chain filter-FORWARD { type filter hook forward priority filter; policy accept;")
	line("oifname vmap @filter-forward-in-jumps\niifname vmap @filter-forward-out-jumps\n}")
	line("chain nat-prerouting-and-output {")
	for _, p := range d.ports(family) {
		line("%s%s%s dport %d counter dnat to %s", d.unless(`iifname != "`+p.bridge+`" `), onAddress(ip+" daddr ", p.On), p.Protocol, p.Port, p.at)
	}
	line("}")
	line("chain nat-PREROUTING { type nat hook prerouting priority dstnat; policy accept;")
	line("fib daddr type local counter jump nat-prerouting-and-output\n}")
	line("chain nat-OUTPUT { type nat hook output priority -100; policy accept;")
	line("%sfib daddr type local counter jump nat-prerouting-and-output\n}", d.unless(ip+" daddr != "+loopbackNetworks[family]+" "))
	line("chain nat-POSTROUTING { type nat hook postrouting priority srcnat; policy accept;")
	line("iifname vmap @nat-postrouting-out-jumps\noifname vmap @nat-postrouting-in-jumps\n}")
	line("chain raw-PREROUTING { type filter hook prerouting priority raw; policy accept;")
	for _, p := range d.ports(family) {
		line("%s daddr %s iifname != %q counter drop", ip, p.at.Addr(), p.bridge)
		if p.On.IsLoopback() {
			line("%s daddr %s iifname != \"lo\" %s dport %d counter drop", ip, p.On, p.Protocol, p.Port)
		}
	}
	line("}\n}")
	return b.String()
}

// nftBridge writes the chains of one bridge.
func (d docker) nftBridge(family sock.Family, bridge string, line func(string, ...any)) {
	ip := nftFamilies[family]
	line("chain filter-forward-in__%s {\nct state established,related counter accept\niifname %q counter accept", bridge, bridge)
	for _, p := range d.ports(family) {
		if p.bridge == bridge {
			line("%s daddr %s %s dport %d counter accept", ip, p.at.Addr(), p.Protocol, p.To)
		}
	}
	line("counter drop\n}")
	line("chain filter-forward-out__%s {\nct state established,related counter accept\ncounter accept\n}", bridge)
	line("chain nat-postrouting-in__%s {", bridge)
	if d.WithoutProxy {
		line("fib saddr type local counter masquerade")
		for _, p := range d.ports(family) {
			if p.bridge == bridge {
				line("%s saddr %s %s daddr %s %s dport %d counter masquerade", ip, p.at.Addr(), ip, p.at.Addr(), p.Protocol, p.To)
			}
		}
	}
	line("}")
	line("chain nat-postrouting-out__%s {\noifname != %q %s saddr %s counter masquerade\n}", bridge, bridge, ip, gateways[bridge][family].Masked())
}

func (d docker) iptablesTables(family sock.Family) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	match := func(p rulePort, port uint16) string {
		return fmt.Sprintf("-p %s -m %s --dport %d", p.Protocol, p.Protocol, port)
	}
	ports, bridges := d.ports(family), d.bridges()

	line("*raw\n:PREROUTING ACCEPT [0:0]")
	for _, p := range ports {
		line("-A PREROUTING -d %s ! -i %s -j DROP", p.at.Addr(), p.bridge)
		if p.On.IsLoopback() {
			line("-A PREROUTING -d %s ! -i lo %s -j DROP", p.On, match(p, p.Port))
		}
	}
	line("COMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]")
	line("-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER")
	line("-A OUTPUT %s-m addrtype --dst-type LOCAL -j DOCKER", d.unless("! -d "+loopbackNetworks[family]+" "))
	for _, bridge := range bridges {
		if d.WithoutProxy {
			line("-A POSTROUTING -o %s -m addrtype --src-type LOCAL -j MASQUERADE", bridge)
		}
		line("-A POSTROUTING -s %s ! -o %s -j MASQUERADE", gateways[bridge][family].Masked(), bridge)
	}
	for _, p := range ports {
		if d.WithoutProxy {
			line("-A POSTROUTING -s %s -d %s %s -j MASQUERADE", p.at.Addr(), p.at.Addr(), match(p, p.To))
		}
		line("-A DOCKER %s%s%s -j DNAT --to-destination %s", onAddress("-d ", p.On), d.unless("! -i "+p.bridge+" "), match(p, p.Port), p.at)
	}
	line("COMMIT\n*filter\n:FORWARD ACCEPT [0:0]")
	for _, chain := range []string{"DOCKER", "DOCKER-BRIDGE", "DOCKER-CT", "DOCKER-FORWARD", "DOCKER-USER"} {
		line(":%s - [0:0]", chain)
	}
	line("-A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-FORWARD")
	line("-A DOCKER-FORWARD -j DOCKER-CT\n-A DOCKER-FORWARD -j DOCKER-BRIDGE")
	for _, p := range ports {
		line("-A DOCKER -d %s ! -i %s -o %s %s -j ACCEPT", p.at.Addr(), p.bridge, p.bridge, match(p, p.To))
	}
	for _, bridge := range bridges {
		line("-A DOCKER ! -i %s -o %s -j DROP", bridge, bridge)
		line("-A DOCKER-BRIDGE -o %s -j DOCKER", bridge)
		line("-A DOCKER-CT -o %s -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", bridge)
		line("-A DOCKER-FORWARD -i %s -j ACCEPT", bridge)
	}
	line("COMMIT")
	return b.String()
}

// unless is a match that only an engine with a proxy writes.
func (d docker) unless(match string) string {
	if d.WithoutProxy {
		return ""
	}
	return match
}

// onAddress matches the address that a port is published on, if it is one.
func onAddress(match string, on netip.Addr) string {
	if !on.IsValid() {
		return ""
	}
	return match + on.String() + " "
}

// without takes back what nftables wrote.
func without(files []ruleset.File) []ruleset.File {
	var removed []ruleset.File
	for family, file := range files {
		file.Text = fmt.Sprintf("delete table %s docker-bridges\n", nftFamilies[family])
		removed = append(removed, file)
	}
	return removed
}
