package tcp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("opens sockets with the defaults that tcp(7) and the settings give", check.Check{
	ID: "TCP-074", Grade: check.GradeFail, OS: "linux",
	Source: "tcp(7), TCP_NODELAY, TCP_MAXSEG, TCP_SYNCNT, tcp_syn_retries, tcp_keepalive_time; RFC 9293 3.7.1 (default MSS of 536); RFC 1122 4.2.3.4 (Nagle)",
	Asks:   "Opens a socket and reads its options before anything is set: TCP_NODELAY 0, TCP_MAXSEG 536, and TCP_SYNCNT, TCP_KEEPIDLE, TCP_KEEPINTVL and TCP_KEEPCNT as net.ipv4.tcp_syn_retries and tcp_keepalive_* say.",
	Why:    "Programs that set nothing live by these. Where the settings do not reach them, a shorter tcp_syn_retries or keepalive changes nothing and connections to dead machines stay for hours. Go and others set TCP_NODELAY themselves, C and Python do not.",
	Causes: []string{
		"an eBPF program on the cgroup or a library that was preloaded (LD_PRELOAD) sets or rewrites options",
		"a user-space stack or sandbox (gVisor, WSL 1) with defaults of its own",
	},
	Remedies: []string{
		"look for programs that rewrite options: `bpftool cgroup tree` (sock_create, getsockopt, sock_ops)",
		"set what the program needs on its own sockets",
	},
}, func(SpecContext) {
	s := open()
	for _, c := range []struct {
		option  sock.Option
		want    int
		setting string
	}{
		{sock.NoDelay, 0, ""},
		{sock.MaxSegment, defaultSegment, ""},
		{sock.SynCount, 0, "net.ipv4.tcp_syn_retries"},
		{sock.KeepIdle, 0, "net.ipv4.tcp_keepalive_time"},
		{sock.KeepInterval, 0, "net.ipv4.tcp_keepalive_intvl"},
		{sock.KeepCount, 0, "net.ipv4.tcp_keepalive_probes"},
	} {
		because := "by default"
		if c.setting != "" {
			c.want = setting(c.setting)
			because = fmt.Sprintf("where %s is %d", c.setting, c.want)
		}
		got, err := s.Get(c.option)
		Expect(err).NotTo(HaveOccurred())
		Expect(got).To(Equal(c.want), "%s of a fresh socket, %s", c.option, because)
		spec.Evidence(c.option.String(), "%d %s", got, because)
	}
})

// defaultSegment is what a socket assumes of a peer that tells no maximum
// segment size (RFC 9293 3.7.1).
const defaultSegment = 536

var _ = suite.It("refuses option values that are out of range", check.Check{
	ID: "TCP-075", Grade: check.GradeFail, OS: "linux",
	Source: "tcp(7), TCP_MAXSEG, TCP_SYNCNT, TCP_KEEPCNT, TCP_KEEPIDLE, TCP_KEEPINTVL; setsockopt(2), EINVAL; include/net/tcp.h (TCP_MIN_MSS, MAX_TCP_SYNCNT, MAX_TCP_KEEPCNT)",
	Asks:   "Sets options to the ends of their ranges, which must be taken, and to one beyond, which must give EINVAL: TCP_MAXSEG 88 to 32767, TCP_SYNCNT and TCP_KEEPCNT 1 to 127, TCP_KEEPIDLE and TCP_KEEPINTVL 1 to 32767.",
	Why:    "A value that is refused shows a mistake in a configuration when the service starts. Cut off or ignored in silence, it shows months later, in connections that are never given up.",
	Causes: []string{
		"a user-space stack or sandbox (gVisor, WSL 1) that stores any value",
		"an eBPF program on the cgroup answers setsockopt (`bpftool cgroup tree`)",
	},
	Remedies: []string{
		"run the program on the kernel's own stack",
		"let programs read an option back after setting it",
	},
}, func(SpecContext) {
	s := open()
	for _, c := range []struct {
		option      sock.Option
		least, most int
	}{
		{sock.MaxSegment, 88, 32767},
		{sock.SynCount, 1, 127},
		{sock.KeepCount, 1, 127},
		{sock.KeepIdle, 1, 32767},
		{sock.KeepInterval, 1, 32767},
	} {
		for _, value := range []int{c.least, c.most} {
			Expect(s.Set(c.option, value)).To(Succeed(), "%s from %d to %d", c.option, c.least, c.most)
		}
		for _, value := range []int{c.least - 1, c.most + 1} {
			Expect(s.Set(c.option, value)).To(MatchError(syscall.EINVAL), "setting %s, which goes from %d to %d, to %d", c.option, c.least, c.most, value)
		}
		spec.Evidence(c.option.String(), "%d and %d taken, %d and %d refused: %s", c.least, c.most, c.least-1, c.most+1, syscall.EINVAL)
	}
})

var _ = suite.It("keeps the maximum segment size that a socket sets", check.Check{
	ID: "TCP-076", Grade: check.GradeWarn, OS: "linux",
	Source: "linux",
	Asks:   "Sets TCP_MAXSEG to 1,000, reads it back, and connects to 127.0.0.1: neither end may send segments that are longer.",
	Why:    "VPNs, tunnels and load balancers set it where ICMP is lost and path MTU discovery fails. A size that is taken and not used leaves connections that open and then hang at the first long answer.",
	Causes: []string{
		"a user-space stack or sandbox (gVisor, WSL 1) that takes the option and ignores it",
		"an eBPF program on the cgroup answers getsockopt or setsockopt",
	},
	Remedies: []string{
		"run the program on the kernel's own stack",
		"clamp in the firewall instead: `nft add rule inet TABLE forward tcp flags syn tcp option maxseg size set 1000`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	const chosen = 1000
	client := open()
	flowsToFreePort()
	Expect(client.Set(sock.MaxSegment, chosen)).To(Succeed())
	got, err := client.Get(sock.MaxSegment)
	Expect(err).NotTo(HaveOccurred())
	// Linux before 5.14 tells the default of a socket that is not connected.
	Expect(got).To(BeElementOf(chosen, defaultSegment), "TCP_MAXSEG that was set to %d, read back", chosen)

	server := join(deadline, client)
	ends := optInfo(client, server)
	for i, end := range []string{"client", "server"} {
		Expect(ends[i].SendMSSBytes).To(BeNumerically("<=", chosen), "bytes of the segments that the %s sends, where the client set %d", end, chosen)
	}
	spec.Evidence("TCP_MAXSEG", "set to %d, read back as %d; segments of %d bytes from the client and %d from the server", chosen, got, ends[0].SendMSSBytes, ends[1].SendMSSBytes)
})

var _ = suite.It("refuses options that it does not know with ENOPROTOOPT", check.Check{
	ID: "TCP-077", Grade: check.GradeFail, OS: "linux",
	Source: "getsockopt(2) and setsockopt(2), ENOPROTOOPT",
	Asks:   "Sets and reads option 9999 of the levels SOL_SOCKET, IPPROTO_IP and IPPROTO_TCP of a TCP socket. Each must give ENOPROTOOPT.",
	Why:    "Libraries find out by it what a kernel can do (TCP_FASTOPEN, TCP_ULP, SO_BUSY_POLL) and fall back. Told that an unknown option was set, they rely on what is not there; with another error they give up.",
	Causes: []string{
		"a user-space stack or sandbox (gVisor, WSL 1) or a seccomp filter that answers with something else, such as EINVAL, EPERM or success",
	},
	Remedies: []string{
		"run the program on the kernel's own stack, or let the seccomp profile of the container allow setsockopt and getsockopt",
	},
}, func(SpecContext) {
	const unknown = 9999
	s := open()
	for _, level := range []struct {
		name   string
		number int
	}{{"SOL_SOCKET", solSocket}, {"IPPROTO_IP", syscall.IPPROTO_IP}, {"IPPROTO_TCP", syscall.IPPROTO_TCP}} {
		Expect(s.SetNumbered(level.number, unknown, 1)).To(MatchError(syscall.ENOPROTOOPT), "setting option %d of %s", unknown, level.name)
		_, err := s.GetNumbered(level.number, unknown)
		Expect(err).To(MatchError(syscall.ENOPROTOOPT), "reading option %d of %s", unknown, level.name)
	}
	spec.Evidence("unknown options", "set and read on three levels, refused: %s", syscall.ENOPROTOOPT)
})

// solSocket is Linux's SOL_SOCKET; the syscall package has each system's own.
const solSocket = 1

var _ = suite.It("gives sockets the congestion control that is set, and others only as allowed", check.Check{
	ID: "TCP-078", Grade: check.GradeFail, OS: "linux",
	Source: "tcp(7), TCP_CONGESTION, tcp_congestion_control, tcp_allowed_congestion_control; Documentation/networking/ip-sysctl.rst",
	Asks:   "As a thread without capabilities: a fresh socket must report net.ipv4.tcp_congestion_control. Setting an unknown algorithm must give ENOENT. Each that net.ipv4.tcp_available_congestion_control lists must be taken where tcp_allowed_congestion_control has it too, and give EPERM where it has not.",
	Why:    "The algorithm decides how fast transfers are and what they leave to others. Where the setting does not reach the sockets, tuning for BBR or DCTCP changes nothing; where anybody may choose, one program takes the line from the rest.",
	Causes: []string{
		"an eBPF program (sock_ops or setsockopt on the cgroup) chooses the algorithm",
		"a user-space stack or sandbox (gVisor, WSL 1) that takes any name or has algorithms of its own",
	},
	Remedies: []string{
		"see what is in use: `ss -tin` and `sysctl net.ipv4.tcp_congestion_control net.ipv4.tcp_available_congestion_control net.ipv4.tcp_allowed_congestion_control`",
		"look for programs that choose: `bpftool cgroup tree`, `bpftool struct_ops list`",
	},
}, func(SpecContext) {
	want := spec.Setting("net.ipv4.tcp_congestion_control")
	Expect(open().CongestionControl()).To(Equal(want), "TCP_CONGESTION of a fresh socket, which net.ipv4.tcp_congestion_control sets")
	Expect(choose("no_such_one")).To(MatchError(syscall.ENOENT), "choosing a congestion control that there is none of")

	allowed := strings.Fields(spec.Setting("net.ipv4.tcp_allowed_congestion_control"))
	available := strings.Fields(spec.Setting("net.ipv4.tcp_available_congestion_control"))
	Expect(available).To(ContainElement(want), "net.ipv4.tcp_available_congestion_control")
	var refused []string
	for _, name := range available {
		err := choose(name)
		if slices.Contains(allowed, name) {
			Expect(err).NotTo(HaveOccurred(), "choosing %q, which net.ipv4.tcp_allowed_congestion_control lists", name)
			continue
		}
		Expect(err).To(MatchError(syscall.EPERM), "choosing %q, which net.ipv4.tcp_allowed_congestion_control does not list", name)
		refused = append(refused, name)
	}
	spec.Evidence("congestion control", "%s is the default, %v may be chosen, %v are refused: %s; an unknown one: %s", want, allowed, refused, syscall.EPERM, syscall.ENOENT)
})

// choose sets the congestion control of a fresh socket as an ordinary user,
// who makes the kernel load no module by it, and reads it back.
func choose(name string) error {
	return process.Unprivileged(func() error {
		s, err := sock.New(sock.TCP, sock.IPv4)
		if err != nil {
			return err
		}
		defer s.Close()
		if err := s.SetCongestionControl(name); err != nil {
			return err
		}
		if got, err := s.CongestionControl(); err != nil || got != name {
			return errors.Join(err, fmt.Errorf("TCP_CONGESTION was set to %q and reads back as %q", name, got))
		}
		return nil
	})
}
