package ports

import (
	"context"
	"fmt"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// The ephemeral ports of PORT-002, and which of them are reserved.
var (
	reservedRange = portRange{40000, 40007}
	reservedPorts = []uint16{40001, 40002, 40003, 40006}
	freePorts     = []uint16{40000, 40004, 40005, 40007}
)

var _ = spec.Job(suite, "leaves reserved ports out when it chooses, and gives them to who asks for one", check.Check{
	ID: "PORT-002", Grade: check.GradeFail, OS: "linux",
	Source: "Documentation/networking/ip-sysctl.rst, ip_local_reserved_ports",
	Needs:  []check.Need{check.Sandbox, check.OwnSettings},
	Asks:   "In a network namespace of its own with eight ephemeral ports, of which net.ipv4.ip_local_reserved_ports reserves four, has bind and connect choose ports until none is left, over TCP and UDP, IPv4 and IPv6. They must choose exactly the other four. Then each reserved port is bound by its number, which must succeed.",
	Why:    "The setting keeps ports of the ephemeral range for servers that start late or again: Kubernetes node ports, databases, message brokers. Where it does not hold, one fails to start now and then because some client was given its port; where it holds too much, it never starts.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
		"take the server's port out of the range: `sysctl -w net.ipv4.ip_local_port_range='32768 60999'`, with the port below or above it",
	},
}, func(ctx context.Context, _ *sandbox.Inside) (seen space, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := setRange(reservedRange, listPorts(reservedPorts)); err != nil {
		return seen, err
	}
	most := len(reservedPorts) + len(freePorts)
	for _, family := range familiesHere() {
		for _, kind := range kinds {
			if err := seen.takeByBind(kind, family, most); err != nil {
				return seen, err
			}
			if err := seen.takeByConnect(ctx, kind, family, most); err != nil {
				return seen, err
			}
			for _, port := range reservedPorts {
				asked := explicit{Kind: kind, At: family.Loopback(port)}
				if asked.Errno, err = bindErrno(kind, asked.At); err != nil {
					return seen, err
				}
				seen.Explicit = append(seen.Explicit, asked)
			}
		}
	}
	return seen, nil
}, func(_ SpecContext, seen space) {
	seen.tell()
	for _, t := range seen.Taken {
		Expect(t.Ports).To(Equal(freePorts), "ports that %v chose from %v, where %s is %s, until it said: %v", t, reservedRange, reservedSetting, listPorts(reservedPorts), t.Errno)
	}
	for _, e := range seen.Explicit {
		Expect(e.Errno).To(Equal(syscall.Errno(0)), "bind %s %v, which is reserved", e.Kind, e.At)
	}
	spec.Evidence("choices", "%d times exactly %s of %v", len(seen.Taken), listPorts(freePorts), reservedRange)
	spec.Evidence("reserved ports", "%d of %d were given to who asked for them", len(seen.Explicit), len(seen.Explicit))
})

// listPorts is the form of ip_local_reserved_ports.
func listPorts(ports []uint16) string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint(ports), " ", ","), "[]")
}
