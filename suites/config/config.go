// Package config holds the checks of settings that work but hurt: what the
// kernel was told to do that breaks or slows what runs on loopback.
package config

import (
	"fmt"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/probe/tuning"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("config", "Settings that work but hurt", 70)

// patience bounds the reading of files and of one fresh namespace.
const patience = 3 * time.Second

var _ = suite.It("has no kernel setting that is known to break or slow loopback", check.Check{
	ID: "CFG-001", Grade: check.GradeAdvice, OS: "linux",
	Source: "Documentation/networking/ip-sysctl.rst; Documentation/networking/nf_conntrack-sysctl.rst; Documentation/admin-guide/sysctl/net.rst",
	Asks:   "Reads the settings below net.core, net.ipv4, net.ipv6 and net.netfilter that change how loopback behaves: buffers, queues, ports, timeouts and retries, TCP options, ICMP and fragments, local routing, IPv6, connection tracking. Each is compared with what this kernel gives to a network namespace of its own. Only a value that is known to break or slow something is spoken of; what is merely another is listed as evidence.",
	Why:    "A setting does its harm at once or months later: when a queue fills, when a segment is lost, when ports run out. Each looked like a good idea in some guide, and nothing on the machine says afterwards that it was the reason.",
	Causes: []string{
		"a file below /etc/sysctl.d that came with a tuning guide, a hardening guide or an image",
		"a container runtime or orchestrator that sets it for its containers",
		"somebody tried it by hand and forgot it",
	},
	Remedies: []string{
		"`sysctl -w NAME=VALUE` with the kernel's own value, and take the line out of the file that sets it: `grep -rn NAME /etc/sysctl.conf /etc/sysctl.d /usr/lib/sysctl.d /run/sysctl.d`",
		"where it is meant to be so, leave the check out: `loopcheck run --label-filter '!CFG-001'`",
	},
}, func(ctx SpecContext) {
	readings := tuning.Examine(spec.Within(ctx, patience), sysctl.Read)
	if len(readings) == 0 {
		spec.Skip(check.Need{Name: "/proc/sys/net", How: "have /proc mounted with its sys/net"}, "none of the settings can be read")
	}
	spec.Evidence("settings", "%d read", len(readings))
	var hurting []string
	for _, r := range readings {
		if r.Differs() {
			spec.Evidence(r.Name, "%q; %s is %q", r.Value, r.From, r.Usual)
		}
		if r.Hurts {
			hurting = append(hurting, fmt.Sprintf("%s is %s: with it, %s", r.Name, r.Value, r.Does))
		}
	}
	Expect(len(hurting) == 0).To(BeTrueBecause("%s", strings.Join(hurting, "; ")))
})
