package containers

import (
	"net/netip"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/engine"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// anEngine is what these checks need, and a run without --engine does not have.
var anEngine = check.Need{
	Name: "--engine",
	How:  "name the engine with `loopcheck run --suite containers --engine docker` or `podman`; it then edits this machine's rules",
}

var rootEngine = check.Need{
	Name: "an engine with the rights of root",
	How:  "run it as root: without its rights an engine has its bridges in a network namespace of its own",
}

var (
	engineCauses = []string{
		"net.ipv4.ip_forward is 0, or the forward chain of another tool (firewalld, ufw) drops what the engine lets through",
		"the engine's rules were removed while it ran, as by `nft flush ruleset` or the restart of a firewall",
		"the engine's proxy (docker-proxy, rootlessport, pasta) is missing or was killed",
	}
	engineRemedies = []string{
		"have the engine write its rules anew: `systemctl restart docker`, `podman network reload --all`",
		"compare with what holds without an engine: `loopcheck run --suite containers`",
	}
)

// ofEngine is the entry of a check of a real engine, in which they are alike.
func ofEngine(id, title, source, asks, why string) check.Check {
	return check.Check{
		ID: id, Title: title, Grade: check.GradeFail, OS: "linux", Needs: []check.Need{anEngine}, Timeout: engineTimeout,
		Source: source, Asks: asks, Why: why, Causes: engineCauses, Remedies: engineRemedies,
	}
}

// all of the container's addresses, at the port that is published.
var onAll = engine.Address{Port: inside}

// engineChecks are in the order of their numbers.
var engineChecks = []engineCheck{
	{ofEngine("CTR-101", "reaches a real container's published port at 127.0.0.1 and at the host's other addresses",
		"Docker and Podman, port publishing",
		"Starts a container of the engine with `--publish 80/tcp`, and asks at the host's 127.0.0.1 and at each other IPv4 address of the host that is not a bridge's.",
		publishWhy,
	), func(ctx SpecContext, s *engine.Session) {
		c := run(ctx, s, engine.Options{Publish: []string{"80/tcp"}, Listen: []engine.Address{onAll}})
		port := publishedPort(ctx, c, "80/tcp")
		for _, addr := range append([]netip.Addr{sock.IPv4.Loopback(0).Addr()}, others()...) {
			to := flow("tcp", netip.AddrPortFrom(addr, port))
			expect(engine.Ask(ctx, to), engine.Answered, InContainer, described(host, to))
		}
	}},
	{ofEngine("CTR-102", "keeps a real container's port that is published on 127.0.0.1 from the host's other addresses",
		"Docker and Podman, port publishing (`127.0.0.1::80`)",
		"Starts a container with `--publish 127.0.0.1::80/tcp`. At 127.0.0.1 it must answer; at each other IPv4 address of the host it must not.",
		"It is how a database's port is opened for the developer and nobody else.",
	), func(ctx SpecContext, s *engine.Session) {
		c := run(ctx, s, engine.Options{Publish: []string{"127.0.0.1::80/tcp"}, Listen: []engine.Address{onAll}})
		port := publishedPort(ctx, c, "80/tcp")
		to := flow("tcp", sock.IPv4.Loopback(port))
		expect(engine.Ask(ctx, to), engine.Answered, InContainer, described(host, to))
		for _, addr := range others() {
			to := engine.At(netip.AddrPortFrom(addr, port))
			a := engine.Ask(ctx, to)
			spec.Evidence(described(host, to), "%s", a)
			Expect(a.Outcome).NotTo(Equal(engine.Answered), "what became of %s", described(host, to))
		}
	}},
	{ofEngine("CTR-103", "does not reach what listens on a real container's own localhost by publishing",
		"RFC 1122 3.2.1.3(g); network_namespaces(7)",
		"Starts a container whose service listens on its 127.0.0.1:80 alone, with `--publish 127.0.0.1::80/tcp`, and asks at the published port: nobody may answer. A request from within the container must be answered.",
		"Many programs listen on 127.0.0.1 unless they are told otherwise, and then nothing that publishes reaches them.",
	), func(ctx SpecContext, s *engine.Session) {
		own := engine.At(sock.IPv4.Loopback(inside))
		c := run(ctx, s, engine.Options{Publish: []string{"127.0.0.1::80/tcp"}, Listen: []engine.Address{own}})
		expect(dial(ctx, c, own), engine.Answered, InContainer, described("the container", own))
		to := engine.At(sock.IPv4.Loopback(publishedPort(ctx, c, "80/tcp")))
		a := engine.Ask(ctx, to)
		spec.Evidence(described(host, to), "%s", a)
		Expect(a.Outcome).NotTo(Equal(engine.Answered), "what became of %s", described(host, to))
	}},
	{ofEngine("CTR-104", "publishes a real container's UDP port",
		"Docker and Podman, port publishing (`80/udp`)",
		"Starts a container with `--publish 127.0.0.1::80/udp` and asks with a datagram at the host's 127.0.0.1. The answer must come from there.",
		"DNS, QUIC and VPNs in containers need it.",
	), func(ctx SpecContext, s *engine.Session) {
		c := run(ctx, s, engine.Options{Publish: []string{"127.0.0.1::80/udp"}, Listen: []engine.Address{{UDP: true, Port: inside}}})
		to := flow("udp", sock.IPv4.Loopback(publishedPort(ctx, c, "80/udp")))
		expect(engine.Ask(ctx, to), engine.Answered, InContainer, described(host, to))
	}},
	{ofEngine("CTR-105", "gives a real container a localhost of its own",
		"network_namespaces(7); RFC 1122 3.2.1.3(g)",
		"A service of the host listens on 127.0.0.1. A container asks at its own 127.0.0.1 at that port: it must be refused.",
		"It is why a program in a container does not find the host's database on localhost, and why the host's localhost is safe from containers.",
	), func(ctx SpecContext, s *engine.Session) {
		to := serve(ctx, sock.IPv4.Loopback(0).Addr())
		c := run(ctx, s, engine.Options{})
		expect(engine.Ask(ctx, to), engine.Answered, host, described(host, to))
		expect(dial(ctx, c, to), engine.Refused, "", described("the container", to))
	}},
	{ofEngine("CTR-106", "lets a real container reach the host at its gateway, but not what listens on the host's localhost",
		"Docker, `--add-host host.docker.internal:host-gateway`",
		"Makes a network, and has a service of the host listen at its gateway's address, and another on 127.0.0.1. A container of the network must reach the first, and be refused the second at the gateway.",
		"It is how a container uses what runs on the host.",
	), func(ctx SpecContext, s *engine.Session) {
		gateway := hostGateway(ctx, s)
		own := serve(ctx, sock.IPv4.Loopback(0).Addr())
		c := run(ctx, s, engine.Options{Network: gateway.network})
		// The bridge has its address once the first container is there.
		to := serve(ctx, gateway.addr)
		expect(dial(ctx, c, to), engine.Answered, host, described("the container", to))
		own.Host = gateway.addr.String()
		expect(dial(ctx, c, own), engine.Refused, "", described("the container", own))
	}},
	{ofEngine("CTR-107", "lets real containers of one network reach each other, and keeps other networks apart",
		"Docker and Podman, bridge networks",
		"Starts two containers in one network and a third in another. The second must reach the first at its own address, at a port that is not published; the third must not. Podman's networks are made with `isolate=true`: it keeps no others apart.",
		"Networks are how the applications of one host are kept from each other.",
	), func(ctx SpecContext, s *engine.Session) {
		first, second := network(ctx, s), network(ctx, s)
		c := run(ctx, s, engine.Options{Network: first, Listen: []engine.Address{onAll}})
		addr, err := c.Address(ctx)
		Expect(err).NotTo(HaveOccurred())
		to := engine.At(netip.AddrPortFrom(addr, inside))
		neighbour, stranger := run(ctx, s, engine.Options{Network: first}), run(ctx, s, engine.Options{Network: second})
		expect(dial(ctx, neighbour, to), engine.Answered, InContainer, described("a container of its network", to))
		a := dial(ctx, stranger, to)
		spec.Evidence(described("a container of another network", to), "%s", a)
		Expect(a.Outcome).NotTo(Equal(engine.Answered), "what became of %s", described("a container of another network", to))
	}},
	{ofEngine("CTR-108", "shares the host's localhost with a real container in the host's network",
		"Docker and Podman, `--network host`",
		"A service of the host listens on 127.0.0.1, and a container with `--network host` on another port there, with `--userns host` too where Docker's daemon has userns-remap. Each must reach the other.",
		"The host's network gives up both protections: the host's localhost is open to the container, and the container's ports to the network.",
	), func(ctx SpecContext, s *engine.Session) {
		if s.Rootless && s.Name == "docker" {
			// Its daemon's network is that of RootlessKit; Podman's is the user's.
			spec.Skip(rootEngine, "docker is rootless, and what it calls the host's network is a namespace of its own")
		}
		to := serve(ctx, sock.IPv4.Loopback(0).Addr())
		c := run(ctx, s, engine.Options{Network: engine.HostNetwork, Listen: []engine.Address{engine.At(sock.IPv4.Loopback(0))}})
		own := c.Listens[0]
		expect(dial(ctx, c, to), engine.Answered, host, described("the container", to))
		expect(engine.Ask(ctx, own), engine.Answered, InContainer, described(host, own))
	}},
	{ofEngine("CTR-109", "shares one localhost between real containers of one network namespace",
		"Docker and Podman, `--network container:NAME`; Kubernetes, Pods",
		"Starts a container whose service listens on its 127.0.0.1, and a second with `--network container:` the first, which must reach it there. A third container must be refused.",
		"Sidecars talk to their program by localhost, and rely on nobody else doing so.",
	), func(ctx SpecContext, s *engine.Session) {
		own := engine.At(sock.IPv4.Loopback(inside))
		c := run(ctx, s, engine.Options{Listen: []engine.Address{own}})
		sidecar, stranger := run(ctx, s, engine.Options{Network: engine.Within(c)}), run(ctx, s, engine.Options{})
		expect(dial(ctx, sidecar, own), engine.Answered, InContainer, described("the sidecar", own))
		expect(dial(ctx, stranger, own), engine.Refused, "", described("another container", own))
	}},
	{ofEngine("CTR-110", "lets a real container reach its neighbour's published port at the host's address",
		"Docker and Podman, port publishing; Documentation/networking/ip-sysctl.rst, bridge-nf-call-iptables",
		"Makes a network, and starts a container in it with `--publish 80/tcp`. Another container of the network must reach the published port at the network's gateway, which is an address of the host.",
		"Two containers that use each other's public names meet this. Without a proxy it takes net.bridge.bridge-nf-call-iptables.",
	), func(ctx SpecContext, s *engine.Session) {
		gateway := hostGateway(ctx, s)
		c := run(ctx, s, engine.Options{Network: gateway.network, Publish: []string{"80/tcp"}, Listen: []engine.Address{onAll}})
		to := engine.At(netip.AddrPortFrom(gateway.addr, publishedPort(ctx, c, "80/tcp")))
		neighbour := run(ctx, s, engine.Options{Network: gateway.network})
		expect(dial(ctx, neighbour, to), engine.Answered, InContainer, described("a container of its network", to))
	}},
}

// network makes a network, which is removed with the session.
func network(ctx SpecContext, s *engine.Session) string {
	GinkgoHelper()
	name, err := s.Network(ctx)
	Expect(err).NotTo(HaveOccurred(), "make a network")
	return name
}

type gateway struct {
	network string
	addr    netip.Addr
}

// hostGateway makes a network and tells the host's address in it. An engine without
// the rights of root has it in a namespace of its own.
func hostGateway(ctx SpecContext, s *engine.Session) gateway {
	GinkgoHelper()
	if s.Rootless {
		spec.Skip(rootEngine, s.Name+" is rootless")
	}
	name := network(ctx, s)
	addr, err := s.Gateway(ctx, name)
	Expect(err).NotTo(HaveOccurred())
	return gateway{name, addr}
}
