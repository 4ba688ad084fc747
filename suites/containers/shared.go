package containers

import (
	. "github.com/onsi/ginkgo/v2"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
)

var _ = suite.It("shares the host's localhost and ports with a container in the host's network", check.Check{
	ID: "CTR-019", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, bridgeDevices},
	Source:   "network_namespaces(7); Docker, host network driver",
	Asks:     "In a sandbox, a thread with mount, UTS and IPC namespaces of its own keeps the network namespace of the host, as a container with `--network host` does. It must reach what listens on the host's 127.0.0.1 and ::1, must be refused a port there that the host has, and must get one there that the host has not. What listens in that namespace at the host's other address must be reached from outside without being published.",
	Why:      "The host's network is chosen for speed, or because publishing did not work. It gives up both protections: services on localhost are open to the container, and every port of the container is open to the network.",
	Causes:   append([]string{"a runtime that gives the container a network namespace all the same, as Docker Desktop's virtual machine is one"}, causes...),
	Remedies: remedies,
}, func(ctx SpecContext) {
	const hostOwn, containerOwn = 7001, 7002
	verify(ctx, plan{
		Zones: []string{outside},
		Services: forBoth(func(f sock.Family) []service {
			return []service{
				{Zone: host, At: f.Loopback(hostOwn)},
				{Zone: host, At: hostOutside.port(f, containerOwn), Name: "the container"},
			}
		}),
		Phases: []phase{{Questions: forBoth(func(f sock.Family) []question {
			return []question{
				ask(host, f.Loopback(hostOwn), host).sharing(),
				listen(host, f.Loopback(hostOwn), inUse).sharing(),
				listen(host, f.Loopback(containerOwn), bound).sharing(),
				ask(outside, hostOutside.port(f, containerOwn), "the container"),
			}
		})}},
	})
})

var _ = suite.It("shares one localhost among the containers of a pod, and with nobody else", check.Check{
	ID: "CTR-020", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, bridgeDevices},
	Source:   "network_namespaces(7); Kubernetes, Pods, resource sharing",
	Asks:     "In a sandbox, two containers have one network namespace and others of their own, as in a pod or with `--network container:NAME`. What one of them serves on 127.0.0.1 and ::1 the other must reach there, and must be refused the same port. The host and another container must be refused there.",
	Why:      "Sidecars (proxies, log shippers, metrics) talk to their program by localhost, and rely on nobody else doing so. Two of them that want one port cannot both start.",
	Causes:   causes,
	Remedies: append([]string{"where two containers of a pod want one port, give one another: `address already in use` in its log tells"}, remedies...),
}, func(ctx SpecContext) {
	const sidecar = 7001
	verify(ctx, plan{
		Zones: []string{web, app},
		Services: forBoth(func(f sock.Family) []service {
			return []service{{Zone: web, At: f.Loopback(sidecar), Name: "the sidecar"}}
		}),
		Phases: []phase{{Questions: forBoth(func(f sock.Family) []question {
			at := f.Loopback(sidecar)
			return []question{
				ask(web, at, "the sidecar").sharing(),
				listen(web, at, inUse).sharing(),
				refuse(host, at, refused),
				refuse(app, at, refused),
				listen(app, at, bound),
			}
		})}},
	})
})
