package containers

import (
	"fmt"
	"net/netip"

	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
)

var _ = suite.It("lets a program of the host bind a port that rules publish, unless a proxy holds it", check.Check{
	ID: "CTR-025", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "nft(8), NAT STATEMENTS, dnat; bind(2), EADDRINUSE",
	Asks:     "In a sandbox, port 8080 is published by Docker's rules alone. A program of the host must be able to listen on 0.0.0.0:8080 all the same; from outside the container must be reached and never the program, which answers at 127.0.0.1. A port that a proxy of the engine listens on must be refused to a second listener.",
	Why:      "Rules hold no port: a web server of the host starts without an error, works when it is tried on the host, and is never reached from elsewhere. The engine's proxy exists for this as well: it makes the mistake an error.",
	Causes:   append([]string{"the engine runs without its proxy (`--userland-proxy=false`) and holds no port, or a rule takes the packets before the engine's"}, causes...),
	Remedies: append([]string{"see which ports are published beside those that are listened on: `docker ps`, `loopcheck ports list`, `nft list table ip docker-bridges`"}, remedies...),
}, func(ctx SpecContext) {
	const proxied = 8081
	f := sock.IPv4
	any := netip.AddrPortFrom(everywhere.of(f), published)
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: web, At: containersOn[web].port(f, inside)}, {Zone: host, At: any}},
		Proxies:  []proxy{{At: netip.AddrPortFrom(everywhere.of(f), proxied), To: containersOn[web].port(f, inside)}},
		Phases: []phase{{
			Rules: docker{Containers: []string{web}, Ports: []publication{httpPort}}.nftables(),
			Questions: []question{
				ask(outside, hostOutside.port(f, published), web),
				ask(host, f.Loopback(published), host),
				ask(outside, hostOutside.port(f, proxied), web).given("through a proxy"),
				listen(host, netip.AddrPortFrom(everywhere.of(f), proxied), inUse),
			},
		}},
	})
})

var _ = suite.It("keeps a connection of the host whole whose ephemeral port is published, and reserves ports from that", check.Check{
	ID: "CTR-026", Grade: check.GradeFail, OS: "linux", Needs: needs,
	Source:   "Documentation/networking/ip-sysctl.rst, ip_local_port_range, ip_local_reserved_ports; nft(8), NAT STATEMENTS",
	Asks:     "In a sandbox, port 40000 is published and the host's only ephemeral port is 40000 as well, so that a connection of the host to the outside goes out from it. It must be answered, while a connection from outside to port 40000 reaches the container. While the first is open, a listener on the port must be refused, as a proxy of the engine would be. With the port in ip_local_reserved_ports, the next connection must go out from another.",
	Why:      "Ports above 32767 are published often, and by chance some connection has the port when the container starts: `address already in use`, once in a while, with nothing listening.",
	Causes:   append([]string{"on a real host: a published port lies within net.ipv4.ip_local_port_range and is not reserved"}, causes...),
	Remedies: append([]string{"publish ports below the ephemeral range, or reserve them: `sysctl -w net.ipv4.ip_local_reserved_ports=40000`"}, remedies...),
}, func(ctx SpecContext) {
	const high = 40000
	f := sock.IPv4
	port := httpPort
	port.Port = high
	out := ask(host, outsideOwn.port(f, inside), outside)
	from := func(number uint16) question {
		q := out.over(fmt.Sprintf("the connection from port %d", number))
		q.Want.Port = number
		return q
	}
	verify(ctx, plan{
		Zones:    []string{outside, web},
		Services: []service{{Zone: web, At: containersOn[web].port(f, inside)}, {Zone: outside, At: outsideOwn.port(f, inside)}},
		Phases: []phase{
			{
				Rules:    docker{Containers: []string{web}, Ports: []publication{port}}.nftables(),
				Settings: map[string]string{"net.ipv4.ip_local_port_range": "40000 40000"},
				Questions: []question{
					from(high),
					ask(outside, hostOutside.port(f, high), web),
					listen(host, netip.AddrPortFrom(everywhere.of(f), high), inUse),
				},
			},
			{
				Settings:  map[string]string{"net.ipv4.ip_local_reserved_ports": "40000", "net.ipv4.ip_local_port_range": "40000 40001"},
				Questions: []question{from(high + 1).given("with port 40000 reserved")},
			},
		},
	})
})
