package tcp

import (
	"context"
	"errors"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// accCookies is what became of a connection whose SYN was answered with a
// cookie.
type accCookies struct {
	Text                     string // that arrived
	Sent, Received, Rejected int64  // growth of TcpExt SyncookiesSent, SyncookiesRecv and SyncookiesFailed
}

const (
	accCookiesSetting = "net.ipv4.tcp_syncookies"
	accCookiesText    = "over a cookie"
)

var _ = spec.Job(suite, "makes a connection of a SYN cookie", check.Check{
	ID: "TCP-025", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, check.OwnSettings},
	Source: "Documentation/networking/ip-sysctl.rst, tcp_syncookies; RFC 4987 3.6",
	Asks:   "In a network namespace of its own with net.ipv4.tcp_syncookies=2, which answers every SYN with a cookie, connects a client to a listener and sends a few bytes. They must arrive, TcpExt SyncookiesSent and SyncookiesRecv grow by one each, and SyncookiesFailed not at all.",
	Why:    "Cookies are what lets a server take connections under a flood of SYNs, from one moment to the next and without a word. Where they do not work, the flood that they were made against takes the service down.",
	Causes: []string{
		"a firewall, synproxy or eBPF program rewrites sequence numbers, timestamps or options, so that the cookie that comes back is not the one that was sent",
		"a kernel or user-space stack without SYN cookies",
	},
	Remedies: []string{
		"see what became of them: `nstat -az TcpExtSyncookiesSent TcpExtSyncookiesRecv TcpExtSyncookiesFailed`",
		spec.OwnStack,
		"until then, give floods more room: `sysctl -w net.ipv4.tcp_max_syn_backlog=8192 net.core.somaxconn=8192`",
	},
}, accCookie, func(_ SpecContext, seen accCookies) {
	spec.Evidence("cookies", "%d sent, %d came back, %d failed; %q arrived", seen.Sent, seen.Received, seen.Rejected, seen.Text)
	Expect(seen.Text).To(Equal(accCookiesText), "what arrived over a connection that a SYN cookie made")
	Expect(seen.Sent).To(BeEquivalentTo(1), "growth of TcpExt SyncookiesSent by one connection with %s=2", accCookiesSetting)
	Expect(seen.Received).To(BeEquivalentTo(1), "growth of TcpExt SyncookiesRecv by one connection with %s=2", accCookiesSetting)
	Expect(seen.Rejected).To(BeZero(), "growth of TcpExt SyncookiesFailed by one connection with %s=2", accCookiesSetting)
})

func accCookie(ctx context.Context, _ *sandbox.Inside) (seen accCookies, err error) {
	if err := sysctl.Set(accCookiesSetting, "2"); err != nil {
		return seen, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	server, err := accepted(ctx, client)
	if err != nil {
		return seen, err
	}
	defer server.Close()
	if _, err := client.Send(ctx, []byte(accCookiesText), 0); err != nil {
		return seen, err
	}
	if seen.Text, err = accRead(ctx, server); err != nil {
		return seen, err
	}
	var first, second, third error
	after, err := counters.Read()
	moved := after.Sub(before)
	seen.Sent, first = moved.Get("TcpExt", "SyncookiesSent")
	seen.Received, second = moved.Get("TcpExt", "SyncookiesRecv")
	seen.Rejected, third = moved.Get("TcpExt", "SyncookiesFailed")
	return seen, errors.Join(err, first, second, third)
}

// accRead makes one read outside of a spec.
func accRead(ctx context.Context, s *sock.Socket) (string, error) {
	buf := make([]byte, 64)
	n, err := s.Recv(ctx, buf, 0)
	return string(buf[:n]), err
}

// accListen returns a listener outside of a spec; the caller closes it.
func accListen(options map[sock.Option]int) (listener *sock.Socket, err error) {
	listener, err = sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return nil, err
	}
	for option, value := range options {
		err = errors.Join(err, listener.Set(option, value))
	}
	err = errors.Join(err, listener.Bind(sock.IPv4.Loopback(0)), listener.Listen(8))
	if err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}
