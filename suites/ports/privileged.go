package ports

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("keeps the low ports for those who may bind them", check.Check{
	ID: "PORT-007", Grade: check.GradeFail, OS: "linux",
	Source: "Documentation/networking/ip-sysctl.rst, ip_unprivileged_port_start; ip(7), EACCES; capabilities(7), CAP_NET_BIND_SERVICE",
	Needs:  []check.Need{check.Sandbox, check.OwnSettings},
	Asks:   "In a private namespace, sets net.ipv4.ip_unprivileged_port_start to 1024, 5000 and 0 and binds ports on both sides of it, over TCP and UDP, IPv4 and IPv6. Without CAP_NET_BIND_SERVICE a port below it must be refused with EACCES and any other be given; with the capability, and at 0, all must be given.",
	Why:    "What answers on a port below 1024 is taken for the machine's own service. Where the limit does not hold, any user can pose as its web, mail or SSH server; where it holds too much, a web server that was given the capability, or a container that was given the ports, does not start.",
	Causes: []string{
		"an eBPF program at the cgroup's bind hook or a security module (SELinux, AppArmor) decides otherwise",
		"a user-space stack or sandbox (gVisor, WSL 1) that does not know the setting",
	},
	Remedies: []string{
		"see what refused a bind: `ausearch -m avc`, `dmesg`, `bpftool cgroup tree`",
		"run the program on the kernel's own stack",
	},
}, func(ctx SpecContext) {
	s := spec.Sandbox(ctx, sandbox.Config{})
	attempts, err := bindLow.Call(ctx, s, "", []int{1024, 5000, 0})
	spec.SkipLacking(err)
	Expect(err).NotTo(HaveOccurred())
	for _, a := range attempts {
		switch {
		case a.Capable || int(a.Port) >= a.Start:
			Expect(a.err()).To(Succeed(), "%v", a)
		default:
			Expect(a.err()).To(MatchError(syscall.EACCES), "%v", a)
		}
	}
	refused := len(slices.DeleteFunc(slices.Clone(attempts), func(a attempt) bool { return a.Errno == 0 }))
	spec.Evidence("attempts", "%d ports were given, %d refused: %s", len(attempts)-refused, refused, syscall.EACCES)
	if here, err := sysctl.Read(unprivilegedSetting); err == nil {
		spec.Evidence("this machine", "%s is %s here; it was set in the private namespace alone", unprivilegedSetting, here)
	}
})

const unprivilegedSetting = "net.ipv4.ip_unprivileged_port_start"

// attempt is one bind of a loopback address.
type attempt struct {
	// Start is net.ipv4.ip_unprivileged_port_start at that time.
	Start int
	// Capable says that the binding thread had CAP_NET_BIND_SERVICE.
	Capable bool
	Kind    sock.Kind
	Family  sock.Family
	Port    uint16
	// Errno is why it was refused, 0 where it was not.
	Errno syscall.Errno
}

func (a attempt) err() error {
	if a.Errno == 0 {
		return nil
	}
	return a.Errno
}

func (a attempt) String() string {
	with := "without"
	if a.Capable {
		with = "with"
	}
	return fmt.Sprintf("bind %s %v %s CAP_NET_BIND_SERVICE, %s at %d", a.Kind, a.Family.Loopback(a.Port), with, unprivilegedSetting, a.Start)
}

// bindLow binds ports on both sides of each limit that it is given, without
// the capability, after it has bound some of them with it.
var bindLow = sandbox.Register("ports/bind-low", func(_ context.Context, _ *sandbox.Inside, starts []int) (attempts []attempt, err error) {
	families := []sock.Family{sock.IPv4}
	if canBind(netip.IPv6Loopback()) {
		families = append(families, sock.IPv6)
	}
	for _, capable := range []bool{true, false} {
		if !capable {
			if err := dropBindService(); err != nil {
				return nil, err
			}
		}
		for _, start := range starts {
			if err := os.WriteFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", []byte(strconv.Itoa(start)), 0); err != nil {
				return nil, fmt.Errorf("set %s: %w", unprivilegedSetting, err)
			}
			for _, family := range families {
				for _, kind := range kinds {
					for _, port := range around(start) {
						a := attempt{Start: start, Capable: capable, Kind: kind, Family: family, Port: port}
						if a.Errno, err = bindErrno(kind, family.Loopback(port)); err != nil {
							return nil, err
						}
						attempts = append(attempts, a)
					}
				}
			}
		}
	}
	return attempts, nil
})

// around is the lowest port, a well-known one, and those next to the limit.
func around(start int) []uint16 {
	ports := []uint16{1, 80}
	if start > 0 {
		ports = append(ports, uint16(start-1), uint16(start))
	}
	return ports
}

func canBind(addr netip.Addr) bool {
	errno, err := bindErrno(sock.UDP, netip.AddrPortFrom(addr, 0))
	return errno == 0 && err == nil
}

// bindErrno binds the address for a moment and returns what it was refused
// with. The error is that of anything else.
func bindErrno(kind sock.Kind, at netip.AddrPort) (syscall.Errno, error) {
	family := sock.IPv4
	if at.Addr().Is6() {
		family = sock.IPv6
	}
	s, err := sock.New(kind, family)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	err = s.Bind(at)
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno, nil
	}
	return 0, err
}
