package containers

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/localnet"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var settingsToRead = check.Need{
	Name: "net.ipv4.conf.all.route_localnet",
	How:  "run it where /proc/sys is shown: outside of a container that hides it",
}

var _ = suite.It("keeps 127.0.0.0/8 of this machine from its networks", check.Check{
	ID: "CTR-027", Grade: check.GradeAdvice, OS: "linux",
	Source:   localnetSource + "; CVE-2020-8558",
	Asks:     "Reads route_localnet of every interface of this machine that is neither lo nor a bridge. Each must be 0, or a rule must drop what comes to 127.0.0.0/8 from elsewhere. Nothing is sent.",
	Why:      "With route_localnet whoever is on the interface's network reaches what listens on 127.0.0.1: databases, debuggers, the engine's own API. Tools that publish ports set it for all interfaces where one bridge would do.",
	Causes:   []string{"kube-proxy or kubelet with NodePorts on localhost, or a network plugin (portmap), has set net.ipv4.conf.all.route_localnet", "a sysctl file of a guide that publishes ports on 127.0.0.1 by DNAT"},
	Remedies: []string{"set it for the bridge alone: `sysctl -w net.ipv4.conf.all.route_localnet=0 net.ipv4.conf.docker0.route_localnet=1`", "or drop what comes from elsewhere: `nft add rule ip filter input iifname != \"lo\" ip daddr 127.0.0.0/8 ct status & dnat == 0 drop`"},
}, func(ctx SpecContext) {
	open := openToLocalnet()
	if len(open) == 0 {
		return
	}
	rule, err := localnetGuard(ctx)
	if _, denied := errors.AsType[*ruleset.PermissionError](err); denied {
		spec.Skip(check.Need{Name: "CAP_NET_ADMIN", How: "run it as root: whether a rule makes up for the setting is told by the rules alone"}, fmt.Sprintf("%s; %v", strings.Join(open, ", "), err))
	}
	if rule != "" {
		spec.Evidence("the rule that keeps them out", "%s", rule)
		return
	}
	Fail(fmt.Sprintf("these settings open 127.0.0.0/8 to networks of this machine, and no rule closes it: %s", strings.Join(open, ", ")))
})

// openToLocalnet are the settings that let 127.0.0.0/8 pass an interface to a
// network.
func openToLocalnet() (open []string) {
	GinkgoHelper()
	settings, err := localnet.Open()
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		spec.Skip(settingsToRead, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	for _, s := range settings {
		open = append(open, s.String())
	}
	return open
}

// localnetGuard is a rule or policy of this machine that drops what comes to
// 127.0.0.0/8; "" where none does.
func localnetGuard(ctx context.Context) (string, error) {
	rules, err := ruleset.Read(ctx)
	if err != nil {
		return "", err
	}
	return guardOf(rules), nil
}

// engineBridge matches the bridges of container engines: Docker's own and those of
// its networks, those of Podman, and that of Kubernetes' network plugins.
var engineBridge = regexp.MustCompile(`^(docker0|br-[0-9a-f]{12}|(cni-)?podman[0-9]+|cni0)$`)

var _ = suite.It("forwards packets where this machine has bridges of a container engine", check.Check{
	ID: "CTR-028", Grade: check.GradeAdvice, OS: "linux",
	Source:   "Documentation/networking/ip-sysctl.rst, ip_forward",
	Asks:     "Looks for bridges by the names that Docker, Podman and Kubernetes' plugins give (docker0, br- and twelve hex digits, podman0, cni0). Where there is one, net.ipv4.ip_forward must be 1. Nothing is sent.",
	Why:      "Engines turn forwarding on when they start. What turns it off again, a hardening guide or a sysctl file that is applied later, cuts every container from the network and every published port from its users, while all of it works from the host itself.",
	Causes:   []string{"a file in /etc/sysctl.d with net.ipv4.ip_forward=0 was applied after the engine had started", "the network was restarted, or a VPN client reset the setting as it ended"},
	Remedies: []string{"turn it on: `sysctl -w net.ipv4.ip_forward=1`", "and for good: put `net.ipv4.ip_forward=1` into /etc/sysctl.d/99-containers.conf"},
}, func(SpecContext) {
	bridges, err := iface.Bridges()
	Expect(err).NotTo(HaveOccurred())
	bridges = slices.DeleteFunc(bridges, func(name string) bool { return !engineBridge.MatchString(name) })
	spec.Evidence("bridges of container engines", "%d: %s", len(bridges), strings.Join(bridges, ", "))
	if len(bridges) == 0 {
		return
	}
	Expect(spec.Setting("net.ipv4.ip_forward")).To(Equal("1"), "net.ipv4.ip_forward, with the bridges %s", strings.Join(bridges, ", "))
})
