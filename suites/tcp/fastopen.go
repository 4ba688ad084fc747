package tcp

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// accFastOpened is what became of two connections to one listener whose first
// bytes were meant for the SYN.
type accFastOpened struct {
	Opened [2]accOpened
	// Growth of TcpExt TCPFastOpenCookieReqd, TCPFastOpenActive and
	// TCPFastOpenPassive by both.
	Asked, Active, Passive int64
}

// accOpened is one of them.
type accOpened struct {
	Errno   syscall.Errno // that sendto with MSG_FASTOPEN gave
	SYNData bool          // the peer acknowledged data in the SYN
	Text    string        // that arrived
}

const accFastOpenSetting = "net.ipv4.tcp_fastopen"

// accFastOpenText is what each connection begins with.
func accFastOpenText(n int) string { return fmt.Sprintf("hello, time %d", n+1) }

var _ = spec.Job(suite, "takes a TCP Fast Open cookie at the first connection and sends data in the SYN of the second", check.Check{
	ID: "TCP-027", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox, check.OwnSettings},
	Source: "RFC 7413 3; Documentation/networking/ip-sysctl.rst, tcp_fastopen; tcp(7), TCP_FASTOPEN",
	Asks:   "In a network namespace of its own with net.ipv4.tcp_fastopen=3, sends to a listener with TCP_FASTOPEN by sendto(2) with MSG_FASTOPEN, twice. The first has no cookie yet and must give EINPROGRESS, the second go out in the SYN, as TCP_INFO and TcpExt TCPFastOpenActive and TCPFastOpenPassive tell. What both send must arrive.",
	Why:    "DNS over TLS, proxies and mobile clients save a round trip by it. Where a cookie is taken and the SYN with data then dropped, each connection waits a second before it tries without, and the kernel may switch the whole feature off.",
	Causes: []string{
		"a firewall drops SYNs that carry data, or takes the option out of them",
		"a kernel or user-space stack without TCP Fast Open",
	},
	Remedies: []string{
		"let SYNs with data and option 34 pass: look for `meta length`, `tcp option` and `reset tcp option` in `nft list ruleset`",
		"see how it went: `nstat -az | grep TCPFastOpen`; until that is found, `sysctl -w net.ipv4.tcp_fastopen=0`",
	},
}, accFastOpen, func(_ SpecContext, seen accFastOpened) {
	first, second := seen.Opened[0], seen.Opened[1]
	spec.Evidence("first connection", "sendto: %s; data in the SYN: %t; %q arrived", accErrnoText(first.Errno), first.SYNData, first.Text)
	spec.Evidence("second connection", "sendto: %s; data in the SYN: %t; %q arrived", accErrnoText(second.Errno), second.SYNData, second.Text)
	for n, opened := range seen.Opened {
		Expect(opened.Text).To(Equal(accFastOpenText(n)), "what arrived over connection %d with TCP Fast Open", n+1)
	}
	Expect(first.Errno).To(Equal(syscall.EINPROGRESS), "sendto with MSG_FASTOPEN where there is no cookie yet")
	Expect(first.SYNData).To(BeFalse(), "whether data was acknowledged in the first SYN")
	Expect(seen.Asked).To(BeEquivalentTo(1), "growth of TcpExt TCPFastOpenCookieReqd by the first of two connections")
	Expect(second.Errno).To(BeZero(), "sendto with MSG_FASTOPEN where there is a cookie")
	Expect(second.SYNData).To(BeTrue(), "whether data was acknowledged in the SYN of the second connection")
	Expect(seen.Active).To(BeEquivalentTo(1), "growth of TcpExt TCPFastOpenActive by the second of two connections")
	Expect(seen.Passive).To(BeEquivalentTo(1), "growth of TcpExt TCPFastOpenPassive by the second of two connections")
})

func accFastOpen(ctx context.Context, _ *sandbox.Inside) (seen accFastOpened, err error) {
	const clientAndServer = "3"
	if err := sysctl.Set(accFastOpenSetting, clientAndServer); err != nil {
		return seen, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	const pending = 8
	listener, err := accListen(map[sock.Option]int{sock.FastOpen: pending})
	if err != nil {
		return seen, err
	}
	defer listener.Close()
	before, err := counters.Read()
	if err != nil {
		return seen, err
	}
	for n := range seen.Opened {
		if seen.Opened[n], err = accOpenFast(ctx, listener, accFastOpenText(n)); err != nil {
			return seen, fmt.Errorf("connection %d with TCP Fast Open: %w", n+1, err)
		}
	}
	after, err := counters.Read()
	moved := after.Sub(before)
	var first, second, third error
	seen.Asked, first = moved.Get("TcpExt", "TCPFastOpenCookieReqd")
	seen.Active, second = moved.Get("TcpExt", "TCPFastOpenActive")
	seen.Passive, third = moved.Get("TcpExt", "TCPFastOpenPassive")
	return seen, errors.Join(err, first, second, third)
}

// accOpenFast makes one connection whose first bytes are meant for the SYN.
func accOpenFast(ctx context.Context, listener *sock.Socket, text string) (seen accOpened, err error) {
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	addr, err := listener.LocalAddr()
	if err != nil {
		return seen, err
	}
	_, err = client.SendTo(ctx, []byte(text), addr, sock.FastOpenData)
	if err != nil && !errors.As(err, &seen.Errno) {
		return seen, err
	}
	if _, err := client.Poll(ctx, sock.Writable); err != nil {
		return seen, err
	}
	if err := client.PendingError(); err != nil {
		return seen, err
	}
	if seen.Errno != 0 {
		if _, err := client.Send(ctx, []byte(text), 0); err != nil {
			return seen, err
		}
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		return seen, err
	}
	defer server.Close()
	if seen.Text, err = accRead(ctx, server); err != nil {
		return seen, err
	}
	info, err := client.TCPInfo()
	seen.SYNData = info.Options.SYNData
	return seen, err
}
