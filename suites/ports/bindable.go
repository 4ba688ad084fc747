package ports

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("lets every port of 127.0.0.1 be bound, but those in use and those the user may not", check.Check{
	ID: "PORT-013", Grade: check.GradeFail, OS: "linux", Timeout: wholeTimeout,
	Source: "RFC 6335 6 (system, user and dynamic ports); bind(2), EADDRINUSE, EACCES",
	Asks:   "Binds a socket to each port from 1 to 65535 of 127.0.0.1 and closes it again, over TCP (with SO_REUSEADDR, as servers do) and UDP. A port may be refused with EADDRINUSE where the socket table has somebody who holds it, whom the report names, and with EACCES below net.ipv4.ip_unprivileged_port_start without CAP_NET_BIND_SERVICE. No port may be refused in any other way.",
	Why:    "A port that cannot be had although nobody has it keeps a service from starting, and nothing tells why: ss and lsof show no owner.",
	Causes: []string{
		"an eBPF program at the cgroup's bind hook or a security module (SELinux, AppArmor) refuses ports",
		"a socket that the kernel does not list holds the port, such as one that is bound and not connected before Linux 6.8",
		"a user-space stack or sandbox (gVisor, WSL 1) that keeps ports for its host",
	},
	Remedies: []string{
		"see what refused a bind: `ausearch -m avc`, `dmesg`, `bpftool cgroup tree`",
		"find a process that holds a descriptor of it: `ls -l /proc/*/fd | grep socket`",
	},
}, func(specCtx SpecContext) {
	ctx := spec.Within(specCtx, wholeRange)
	low := lowestAllowed()
	for _, kind := range kinds {
		free, refused := bindEach(ctx, kind, portset.All())
		unexplained := explain(ctx, kind, refused, low)
		// Others open and close ports meanwhile: what is refused for good is so
		// when asked again.
		for tries := 1; len(unexplained) > 0 && tries < bindTries; tries++ {
			again, still := bindEach(ctx, kind, portsOf(unexplained))
			free = append(free, again...)
			for port := range unexplained {
				delete(refused, port)
			}
			for port, errno := range still {
				refused[port] = errno
			}
			unexplained = explain(ctx, kind, still, low)
		}
		evidenceOfRanges(kind, portset.Ports(free...))
		evidenceOfHolders(ctx, kind, refused)
		Expect(complaints(unexplained)).To(BeEmpty(), "%s ports of 127.0.0.1 that cannot be bound, though nobody holds them", kind)
	}
})

const (
	// wholeRange bounds the asking of all 65,535 ports, twice over. It takes
	// tenths of a second; the rest is for emulated and small machines.
	wholeRange = 30 * time.Second
	// wholeTimeout is that with what comes before and after.
	wholeTimeout = wholeRange + 10*time.Second
)

// bindTries is how many times a port is bound that is refused without a reason.
const bindTries = 4

// bindEach binds each port by itself and returns those that were free, and why
// the others were not.
func bindEach(ctx context.Context, kind sock.Kind, ports portset.Set) (free []uint16, refused map[uint16]syscall.Errno) {
	GinkgoHelper()
	refused = map[uint16]syscall.Errno{}
	for port := range ports.All() {
		if ctx.Err() != nil {
			spec.Inconclusive("%d of %d %s ports were bound in %v: the machine is too slow, or too busy", len(free)+len(refused), ports.Len(), kind, wholeRange)
		}
		err := bindOnce(kind, sock.IPv4.Loopback(port))
		if errno, ok := errors.AsType[syscall.Errno](err); ok {
			refused[port] = errno
			continue
		}
		Expect(err).NotTo(HaveOccurred())
		free = append(free, port)
	}
	return free, refused
}

// bindOnce takes a port for some microseconds. With SO_REUSEADDR on both sides
// a TCP server that starts just then is not in the way, nor in anybody's.
func bindOnce(kind sock.Kind, addr netip.AddrPort) error {
	s, err := sock.New(kind, sock.IPv4)
	if err != nil {
		return err
	}
	defer s.Close()
	if kind == sock.TCP {
		if err := s.SetReuseAddr(); err != nil {
			return err
		}
	}
	return s.Bind(addr)
}

// lowestAllowed is the first port that this process may bind.
func lowestAllowed() uint16 {
	GinkgoHelper()
	rights, err := process.Read()
	Expect(err).NotTo(HaveOccurred())
	if rights.Effective.Has(process.NetBindService) {
		return 0
	}
	low, err := strconv.ParseUint(spec.Setting(unprivilegedSetting), 10, 16)
	Expect(err).NotTo(HaveOccurred(), "%s", unprivilegedSetting)
	return uint16(low)
}

// explain leaves the ports that were refused without a reason.
func explain(ctx context.Context, kind sock.Kind, refused map[uint16]syscall.Errno, low uint16) map[uint16]syscall.Errno {
	GinkgoHelper()
	unexplained := map[uint16]syscall.Errno{}
	inUse := map[uint16]syscall.Errno{}
	for port, errno := range refused {
		switch {
		case errno == syscall.EACCES && port < low:
		case errno == syscall.EADDRINUSE:
			inUse[port] = errno
		default:
			unexplained[port] = errno
		}
	}
	if len(inUse) == 0 {
		return unexplained
	}
	own, at := bound(kind, sock.IPv4)
	defer own.Close()
	table := tableOf(ctx, kind, false)
	// Before Linux 6.8 the kernel does not list a TCP socket that is bound and
	// does no more, as this one is: whoever is in the way may be such.
	if len(table.Holders(binding(kind, at.Port()))) == 0 {
		return unexplained
	}
	for port, errno := range inUse {
		if len(table.Holders(binding(kind, port))) == 0 {
			unexplained[port] = errno
		}
	}
	return unexplained
}

func tableOf(ctx context.Context, kind sock.Kind, owners bool) *socktable.Table {
	GinkgoHelper()
	table, err := socktable.Read(ctx, socktable.Options{Protocols: []socktable.Protocol{protocolOf[kind]}, Owners: owners})
	Expect(err).NotTo(HaveOccurred())
	return table
}

var protocolOf = map[sock.Kind]socktable.Protocol{sock.TCP: socktable.TCP, sock.UDP: socktable.UDP}

func binding(kind sock.Kind, port uint16) socktable.Binding {
	return socktable.Binding{Protocol: protocolOf[kind], Local: sock.IPv4.Loopback(port)}
}

func portsOf(refused map[uint16]syscall.Errno) portset.Set {
	return portset.Ports(slices.Collect(maps.Keys(refused))...)
}

// evidenceOfRanges tells the ranges of the registry apart.
func evidenceOfRanges(kind sock.Kind, free portset.Set) {
	for _, r := range portset.IANA() {
		spec.Evidence(fmt.Sprintf("%s, %s ports", kind, r.Name), "%d of %d (%s) could be bound", free.Within(r.Range).Len(), r.Len(), r.Range)
	}
}

// evidenceOfHolders names who has the ports that are in use, and counts those
// that this user may not bind.
func evidenceOfHolders(ctx context.Context, kind sock.Kind, refused map[uint16]syscall.Errno) {
	GinkgoHelper()
	var forbidden, used []uint16
	for port, errno := range refused {
		if errno == syscall.EACCES {
			forbidden = append(forbidden, port)
		} else {
			used = append(used, port)
		}
	}
	if len(forbidden) > 0 {
		spec.Evidence(kind.String()+" ports not allowed", "%v: %s below %s, without CAP_NET_BIND_SERVICE", portset.Ports(forbidden...), syscall.EACCES, unprivilegedSetting)
	}
	if len(used) == 0 {
		return
	}
	table := tableOf(ctx, kind, true)
	var lines []string
	var waiting []uint16
	slices.Sort(used)
	for _, port := range used {
		holders := table.Holders(binding(kind, port))
		switch {
		case len(holders) == 0:
			lines = append(lines, fmt.Sprintf("%d: held by a socket that this kernel does not list, or that is gone by now", port))
		case holders[0].State == sock.TimeWait:
			waiting = append(waiting, port)
		default:
			lines = append(lines, fmt.Sprintf("%d: %s", port, holders[0].String()))
		}
	}
	if len(waiting) > 0 {
		lines = append(lines, fmt.Sprintf("%v: connections in TIME_WAIT, which no process holds", portset.Ports(waiting...)))
	}
	spec.Evidence(kind.String()+" ports in use", "%s", strings.Join(lines, "\n"))
}

// complaints say which ports were refused with what, neighbours in one.
func complaints(unexplained map[uint16]syscall.Errno) string {
	byErrno := map[syscall.Errno][]uint16{}
	for port, errno := range unexplained {
		byErrno[errno] = append(byErrno[errno], port)
	}
	var lines []string
	for errno, ports := range byErrno {
		lines = append(lines, fmt.Sprintf("%s: %s", portset.Ports(ports...), errno))
	}
	slices.Sort(lines)
	return some(lines, "; ")
}

// some joins the first few of many.
func some(lines []string, separator string) string {
	const shown = 20
	if more := len(lines) - shown; more > 0 {
		lines = append(lines[:shown:shown], fmt.Sprintf("and %d more", more))
	}
	return strings.Join(lines, separator)
}
