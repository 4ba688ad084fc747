package ping

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	groupRange = "net.ipv4.ping_group_range"
	// ownGroup lets the group in that a sandbox's functions run with.
	ownGroup = "0 0"
)

// opening is what an attempt to open a ping socket gave, 0 where it succeeded.
type opening struct {
	Family  sock.Family
	Outside syscall.Errno // in a namespace whose range holds nobody
	Inside  syscall.Errno // with the group within the range
}

var _ = spec.Job(suite, "gives ping sockets to the groups of ping_group_range alone, and root no other", check.Check{
	ID: "PING-009", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "icmp(7), ping_group_range; Documentation/networking/ip-sysctl.rst, ping_group_range",
	Asks: "In a network namespace of its own, whose net.ipv4.ping_group_range holds no group as in every fresh one, opens datagram sockets of ICMP and ICMPv6 as root with every capability: EACCES. " +
		"With its own group within the range they must be given.",
	Why: "ping, health checks and this program ping without privileges by these sockets. Administrators choose by the range who may; " +
		"where it lets in everybody, or not those that it names, containers ping that must not, and monitoring that may reports every host as down.",
	Causes: []string{
		"a seccomp filter or security module (SELinux, AppArmor) that refuses sockets of ICMP",
		spec.OtherStack,
	},
	Remedies: []string{
		"see what refused them: `ausearch -m avc`, `dmesg`",
		spec.OwnStack,
	},
}, openPings, func(_ SpecContext, seen []opening) {
	for _, o := range seen {
		spec.Evidence("ping socket of "+o.Family.String(), "outside of the range: %s; within: %s", given(o.Outside), given(o.Inside))
		Expect(given(o.Outside)).To(Equal(given(syscall.EACCES)), "opening a ping socket of %s as root, where %s holds no group", o.Family, groupRange)
		Expect(given(o.Inside)).To(Equal(given(0)), "opening a ping socket of %s, where %s holds the group", o.Family, groupRange)
	}
})

// given says what became of an attempt.
func given(errno syscall.Errno) string {
	if errno == 0 {
		return "given"
	}
	return errno.Error()
}

func openPings(_ context.Context, _ *sandbox.Inside) (seen []opening, err error) {
	for _, family := range []sock.Family{sock.IPv4, sock.IPv6} {
		if s, err := sock.New(sock.UDP, family); errors.Is(err, syscall.EAFNOSUPPORT) {
			continue
		} else if err == nil {
			_ = s.Close()
		}
		o := opening{Family: family}
		if o.Outside, err = openErrno(family); err != nil {
			return nil, err
		}
		seen = append(seen, o)
	}
	if err := sysctl.Set(groupRange, ownGroup); err != nil {
		return nil, err
	}
	for i := range seen {
		if seen[i].Inside, err = openErrno(seen[i].Family); err != nil {
			return nil, err
		}
	}
	return seen, nil
}

func openErrno(family sock.Family) (syscall.Errno, error) {
	s, err := sock.New(sock.Ping, family)
	if errno, ok := errors.AsType[syscall.Errno](err); ok {
		return errno, nil
	}
	if err != nil {
		return 0, err
	}
	return 0, s.Close()
}

// letOurselvesPing opens a ping socket of IPv4 in a zone where nobody could.
func letOurselvesPing() (talk, error) {
	if err := sysctl.Set(groupRange, ownGroup); err != nil {
		return talk{}, err
	}
	return openPing(sock.IPv4)
}

// rewritten is what became of an echo request that a ping socket sent.
type rewritten struct {
	// Written is the identifier that was asked for, Port the socket's own.
	Written, Port uint16
	Sent          heard // as a raw socket saw it
	Received      heard // as the socket itself received the reply
	// First is the first byte that the socket received.
	First byte
	// Missing says why nothing was received.
	Missing string
}

var _ = spec.Job(suite, "puts the socket's own identifier into the pings of a ping socket, and gives it no IP header", check.Check{
	ID: "PING-010", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "icmp(7); linux, net/ipv4/ping.c, ping_v4_sendmsg and ping_recvmsg",
	Asks: "In a network namespace of its own, sends an echo request with another identifier than the socket's port over a datagram socket of ICMP. " +
		"A raw socket must see the port as its identifier, and what the first socket receives begin with the reply's type and carry the same identifier.",
	Why: "Replies find their way back by the identifier, so that two programs that ping at once do not get each other's. " +
		"Pingers that run without privileges count on both: with a header before the reply they read its type at the wrong place and report loss.",
	Causes: []string{
		"a user-space stack or sandbox (gVisor, WSL 1) or a macOS kernel, which leave the identifier and give the header",
		"a rule that rewrites ICMP identifiers: source NAT of ICMP",
	},
	Remedies: []string{
		spec.OwnStack,
		"have the pinger use raw sockets: `setcap cap_net_raw+ep PROGRAM`",
	},
}, sendRewritten, func(_ SpecContext, seen rewritten) {
	spec.Evidence("echo request", "identifier %d was written, %d sent; the socket's port is %d", seen.Written, seen.Sent.ID, seen.Port)
	Expect(seen.Sent.ID).To(Equal(seen.Port), "identifier of an echo request from a ping socket of port %d that was given %d", seen.Port, seen.Written)
	Expect(seen.Missing).To(BeEmpty(), "the echo reply for a ping socket of port %d", seen.Port)
	spec.Evidence("reply", "as received: %v", seen.Received)
	Expect(seen.First).To(BeEquivalentTo(echoReply), "first byte that the ping socket received, which is the reply's type where no IP header comes before it")
	Expect(seen.Received.ID).To(Equal(seen.Port), "identifier of the echo reply that the ping socket of port %d received", seen.Port)
})

func sendRewritten(ctx context.Context, _ *sandbox.Inside) (seen rewritten, err error) {
	const seq = 10
	t, err := letOurselvesPing()
	if err != nil {
		return seen, err
	}
	defer t.Close()
	observer, err := openRaw(sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer observer.Close()
	if err := t.Bind(sock.IPv4.Loopback(0)); err != nil {
		return seen, err
	}
	at, err := t.LocalAddr()
	if err != nil {
		return seen, err
	}
	seen.Port, seen.Written = at.Port(), ^at.Port()
	if err := t.ask(ctx, seen.Written, seq); err != nil {
		return seen, err
	}
	ctx, cancel := context.WithTimeout(ctx, replyTimeout)
	defer cancel()
	for seen.Sent.Type != echoRequest {
		if seen.Sent, err = observer.hear(ctx); err != nil {
			return seen, fmt.Errorf("await the echo request as a raw socket sees it: %w", err)
		}
	}
	buf := make([]byte, 1<<12)
	n, err := t.Recv(ctx, buf, 0)
	if errors.Is(err, context.DeadlineExceeded) {
		seen.Missing = err.Error()
		return seen, nil
	}
	if err != nil {
		return seen, err
	}
	seen.First = buf[0]
	seen.Received, _ = parse(buf[:n])
	return seen, nil
}

// message is one that a ping socket is given to send.
type message struct {
	Family     sock.Family
	Type, Code uint8
	Errno      syscall.Errno // that came back, 0 where it was sent
}

func (m message) String() string {
	return fmt.Sprintf("sending type %d, code %d over a ping socket of %s", m.Type, m.Code, m.Family)
}

var _ = spec.Job(suite, "lets ping sockets send echo requests only", check.Check{
	ID: "PING-011", Grade: check.GradeWarn, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "linux, net/ipv4/ping.c, ping_supported (extended echo requests of RFC 8335 are let through as well since 5.13)",
	Asks: "In a network namespace of its own, gives datagram sockets of ICMP and ICMPv6 messages that are no echo requests: replies, unreachables, redirects, timestamp, information and address mask requests, " +
		"router solicitations and echo requests of code 1. Each must be refused with EINVAL; an echo request must be taken.",
	Why: "These sockets are given to every user because they can do nothing but ping. One that sends redirects, unreachables or router solicitations lets any user " +
		"reroute the machine's neighbours or end their connections.",
	Causes: []string{
		spec.OtherStack,
	},
	Remedies: []string{
		"let nobody have ping sockets: `sysctl -w net.ipv4.ping_group_range='1 0'`",
		spec.OwnStack,
	},
}, sendOthers, func(_ SpecContext, seen []message) {
	for _, m := range seen {
		want := syscall.EINVAL
		if m.Code == 0 && (m.Type == echoRequest && m.Family == sock.IPv4 || m.Type == echoRequest6 && m.Family == sock.IPv6) {
			want = 0
		}
		Expect(outcome(m.Errno)).To(Equal(outcome(want)), "%v", m)
	}
	spec.Evidence("messages", "%d were given to ping sockets; the echo requests alone were taken", len(seen))
})

// outcome says what became of a send.
func outcome(errno syscall.Errno) string {
	if errno == 0 {
		return "taken"
	}
	return errno.Error()
}

func sendOthers(ctx context.Context, _ *sandbox.Inside) (seen []message, err error) {
	const (
		destinationUnreachable = 3
		redirect               = 5
		packetTooBig6          = 2
		routerSolicitation6    = 133
	)
	all := []message{
		{Type: echoRequest},
		{Type: echoRequest, Code: 1},
		{Type: echoReply},
		{Type: destinationUnreachable, Code: 3},
		{Type: redirect, Code: 1},
		{Type: timestampRequest},
		{Type: timestampReply},
		{Type: informationRequest},
		{Type: addressMaskRequest},
	}
	for _, m := range []message{{Type: echoRequest6}, {Type: echoRequest6, Code: 1}, {Type: echoReply6}, {Type: packetTooBig6}, {Type: routerSolicitation6}} {
		m.Family = sock.IPv6
		all = append(all, m)
	}
	if err := sysctl.Set(groupRange, ownGroup); err != nil {
		return nil, err
	}
	for _, m := range all {
		t, err := openPing(m.Family)
		if errors.Is(err, syscall.EAFNOSUPPORT) && m.Family == sock.IPv6 {
			continue
		}
		if err != nil {
			return nil, err
		}
		if err = t.Bind(m.Family.Loopback(0)); err == nil {
			err = t.say(ctx, icmp.Message(m.Type, m.Code, icmp.EchoBody(0, 11, []byte("is this a ping?"))))
		}
		_ = t.Close()
		if m.Family == sock.IPv6 && errors.Is(err, syscall.EADDRNOTAVAIL) {
			continue // IPv6 was taken off lo
		}
		if err != nil && !errors.As(err, &m.Errno) {
			return nil, err
		}
		seen = append(seen, m)
	}
	return seen, nil
}
