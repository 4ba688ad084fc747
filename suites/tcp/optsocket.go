package tcp

import (
	"errors"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("refuses sockets that there are none of with the right errors", check.Check{
	ID: "TCP-080", Grade: check.GradeFail, OS: "linux",
	Source: "socket(2), EAFNOSUPPORT, EPROTONOSUPPORT, EINVAL; socketpair(2), EOPNOTSUPP",
	Asks:   "Asks socket(2) for an unknown family (EAFNOSUPPORT), a stream of UDP and a datagram socket of TCP (EPROTONOSUPPORT), an unknown type and a protocol number beyond all (EINVAL), and socketpair(2) for two ends of IPv4 (EOPNOTSUPP).",
	Why:    "Libraries try families and protocols one after the other (IPv6, MPTCP, SCTP, vsock) and go on to the next at these errors only. With another, such as EPERM or ENOSYS, a program gives up that would run.",
	Causes: []string{
		"a seccomp filter of a container runtime or of systemd (RestrictAddressFamilies=, SystemCallFilter=) answers in the kernel's place",
		"a user-space stack or sandbox (gVisor, WSL 1)",
	},
	Remedies: []string{
		"see whether a filter is in force: `grep Seccomp /proc/self/status`; try without it, `docker run --security-opt seccomp=unconfined …`",
	},
}, func(SpecContext) {
	const (
		noFamily   = 255  // families end below 50
		noType     = 11   // SOCK_MAX of include/linux/net.h
		noProtocol = 1000 // beyond IPPROTO_MAX of include/uapi/linux/in.h
	)
	for _, c := range []struct {
		what                   string
		domain, kind, protocol int
		want                   syscall.Errno
	}{
		{"an unknown address family", noFamily, syscall.SOCK_STREAM, 0, syscall.EAFNOSUPPORT},
		{"a stream of UDP", syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_UDP, syscall.EPROTONOSUPPORT},
		{"a datagram socket of TCP", syscall.AF_INET, syscall.SOCK_DGRAM, syscall.IPPROTO_TCP, syscall.EPROTONOSUPPORT},
		{"an unknown type", syscall.AF_INET, noType, 0, syscall.EINVAL},
		{"a protocol number beyond all", syscall.AF_INET, syscall.SOCK_STREAM, noProtocol, syscall.EINVAL},
	} {
		Expect(sock.TrySocket(c.domain, c.kind, c.protocol)).To(MatchError(c.want), "opening %s", c.what)
		spec.Evidence(c.what, "%s", c.want)
	}
	err := sock.TrySocketPair(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	Expect(err).To(MatchError(syscall.EOPNOTSUPP), "opening a pair of connected sockets of IPv4")
	spec.Evidence("a pair of IPv4", "%s", syscall.EOPNOTSUPP)
})

var _ = suite.It("keeps raw sockets, marks, foreign addresses and repair from ordinary users", check.Check{
	ID: "TCP-081", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.BindToDevice},
	Source: "capabilities(7), CAP_NET_RAW, CAP_NET_ADMIN; raw(7); socket(7), SO_MARK, SO_BINDTODEVICE; ip(7), IP_TRANSPARENT",
	Asks:   "As a thread without capabilities: a raw socket, SO_MARK, IP_TRANSPARENT and TCP_REPAIR must each be refused with EPERM. SO_BINDTODEVICE to lo must succeed, as it does since Linux 5.7.",
	Why:    "With a raw socket any user forges and reads packets; a mark passes policy routing and firewall rules that trust it; IP_TRANSPARENT takes connections of any address. On the other side, services that bind to a device without privileges fail where that is refused.",
	Causes: []string{
		"a user-space stack or sandbox (gVisor, WSL 1) with rules of its own",
		"an eBPF program or security module (AppArmor, SELinux) that answers with another error",
	},
	Remedies: []string{
		"update the kernel, and report it to whoever made this one",
		"see what filters calls: `grep Seccomp /proc/self/status`, `bpftool cgroup tree`, `dmesg | grep -i denied`",
	},
}, func(SpecContext) {
	var raw, device error
	refused := map[sock.Option]error{sock.Mark: nil, sock.Transparent: nil, sock.Repair: nil}
	s := open()
	Expect(process.Unprivileged(func() error {
		raw = sock.TrySocket(syscall.AF_INET, syscall.SOCK_RAW, syscall.IPPROTO_TCP)
		for option := range refused {
			refused[option] = s.Set(option, 1)
		}
		device = s.BindToDevice("lo")
		return nil
	})).To(Succeed())

	Expect(raw).To(MatchError(syscall.EPERM), "opening a raw socket without CAP_NET_RAW")
	for option, err := range refused {
		Expect(err).To(MatchError(syscall.EPERM), "setting %s without capabilities", option)
	}
	spec.Evidence("refused", "a raw socket, SO_MARK, IP_TRANSPARENT and TCP_REPAIR: %s", syscall.EPERM)
	if errors.Is(device, syscall.EPERM) {
		spec.Skip(check.BindToDevice, device.Error())
	}
	Expect(device).NotTo(HaveOccurred(), "binding to lo without capabilities")
	spec.Evidence("SO_BINDTODEVICE", "taken")
})
