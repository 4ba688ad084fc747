package ports

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// fewPorts are all ephemeral ports of a sandbox, and one more is asked for.
var fewPorts = portRange{40000, 40003}

const (
	fewCount = 4
	fewMost  = fewCount + 1
)

// exhaustedSettings is what gives a machine more ports.
const exhaustedSettings = "give the machine more ports: `sysctl -w net.ipv4.ip_local_port_range='1024 65535'`; see who has them: `ss -tanp`, `ss -uanp`"

var _ = spec.Job(suite, "says EADDRINUSE to a bind and EADDRNOTAVAIL to a connect when no ephemeral port is left", check.Check{
	ID: "PORT-003", Grade: check.GradeFail, OS: "linux",
	Source: "bind(2), EADDRINUSE (port 0); connect(2), EADDRNOTAVAIL; ip(7), ip_local_port_range",
	Needs:  []check.Need{check.Sandbox, check.OwnSettings},
	Asks:   "In a network namespace of its own with four ephemeral ports, binds sockets to port 0 over TCP and UDP, and connects over TCP to one listener, until no port is left, over IPv4 and IPv6. Each of the four must be given once; the fifth bind must end in EADDRINUSE, the fifth connect in EADDRNOTAVAIL.",
	Why:    "A busy proxy or load generator that uses up its ports finds out by these errors, and adds addresses or waits. Where ports are left unused it stops early; where another error comes, or the call hangs, the shortage looks like a fault of the server.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
		exhaustedSettings,
	},
}, func(ctx context.Context, _ *sandbox.Inside) (seen space, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := setRange(fewPorts, ""); err != nil {
		return seen, err
	}
	for _, family := range familiesHere() {
		err := errors.Join(
			seen.takeByBind(sock.TCP, family, fewMost),
			seen.takeByBind(sock.UDP, family, fewMost),
			seen.takeByConnect(ctx, sock.TCP, family, fewMost))
		if err != nil {
			return seen, err
		}
	}
	return seen, nil
}, func(_ SpecContext, seen space) {
	seen.tell()
	for _, t := range seen.Taken {
		end := syscall.EADDRINUSE
		if t.By == "connect" {
			end = syscall.EADDRNOTAVAIL
		}
		Expect(t.Errno).To(Equal(end), "%v, after it was given the ports %v of %v", t, t.Ports, fewPorts)
		Expect(t.Ports).To(HaveLen(fewCount), "ports that %v was given of %v", t, fewPorts)
		spec.Evidence(t.String(), "%d ports, then %s", len(t.Ports), t.Errno)
	}
})

// portless is what became of UDP sockets that needed a port where none was left.
type portless struct {
	space
	Asked []portlessCall
}

type portlessCall struct {
	// Call is "connect" or "sendto".
	Call   string
	Family sock.Family
	Errno  syscall.Errno
}

func (c portlessCall) String() string { return fmt.Sprintf("%s of udp over %s", c.Call, c.Family) }

var _ = spec.Job(suite, "says EAGAIN to a UDP socket that connects or sends when no ephemeral port is left", check.Check{
	ID: "PORT-004", Grade: check.GradeWarn, OS: "linux",
	Source: "linux, net/ipv4/af_inet.c, inet_autobind",
	Needs:  []check.Need{check.Sandbox, check.OwnSettings},
	Asks:   "In a network namespace of its own with four ephemeral ports, binds UDP sockets to port 0 until EADDRINUSE. Another socket that was not bound then connects, and one sends to an address: both must end in EAGAIN. Over IPv4 and IPv6.",
	Why:    "DNS resolvers and metrics clients open a socket for each request and meet this when there are many. A program that takes EAGAIN for a full send buffer waits until the socket is writable, which it always is, and spins; whoever looks into that has to know what it means.",
	Causes: []string{
		spec.OtherStack,
		spec.GroupPrograms,
	},
	Remedies: []string{
		spec.OwnStack,
		spec.ListGroupPrograms,
		exhaustedSettings,
	},
}, func(_ context.Context, _ *sandbox.Inside) (seen portless, err error) {
	if err := setRange(fewPorts, ""); err != nil {
		return seen, err
	}
	for _, family := range familiesHere() {
		err := seen.takeByBind(sock.UDP, family, fewMost, func() error { return seen.ask(family) })
		if err != nil {
			return seen, err
		}
	}
	return seen, nil
}, func(_ SpecContext, seen portless) {
	seen.tell()
	for _, t := range seen.Taken {
		Expect(t.Errno).To(Equal(syscall.EADDRINUSE), "%v, after it was given the ports %v of %v", t, t.Ports, fewPorts)
	}
	for _, c := range seen.Asked {
		Expect(c.Errno).To(Equal(syscall.EAGAIN), "%v, with no port of %v left", c, fewPorts)
		spec.Evidence(c.String(), "%s", c.Errno)
	}
})

// ask has a socket that needs a port connect, and another one send.
func (p *portless) ask(family sock.Family) error {
	for _, call := range []struct {
		name string
		make func(*sock.Socket) error
	}{
		{"connect", func(s *sock.Socket) error { return s.StartConnect(family.Loopback(peerPort)) }},
		{"sendto", func(s *sock.Socket) error {
			_, err := s.TrySendTo([]byte("from no port"), family.Loopback(peerPort), 0)
			return err
		}},
	} {
		s, err := sock.New(sock.UDP, family)
		if err != nil {
			return err
		}
		defer s.Close()
		asked := portlessCall{Call: call.name, Family: family}
		if err := call.make(s); err != nil && !errors.As(err, &asked.Errno) {
			return err
		}
		p.Asked = append(p.Asked, asked)
	}
	return nil
}
