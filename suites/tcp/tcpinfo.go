package tcp

import (
	"context"
	"fmt"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("agrees on the TCP options that the settings ask for", check.Check{
	ID: "TCP-079", Grade: check.GradeFail, OS: "linux",
	Source: "tcp(7), TCP_INFO, tcp_timestamps, tcp_sack, tcp_window_scaling, tcp_ecn; RFC 7323; RFC 2018; RFC 3168 6.1.1",
	Asks:   "Connects to 127.0.0.1 and reads TCP_INFO of both ends: timestamps, selective acknowledgements and window scaling must have been agreed on where net.ipv4.tcp_timestamps, tcp_sack and tcp_window_scaling are on, and not where they are off; ECN where tcp_ecn is 1.",
	Why:    "Without window scaling a connection carries 64 KiB per round trip, without SACK one loss costs many, without timestamps old segments pass for new ones. A firewall that takes the options out of the SYN does so in silence, and the same rule slows every connection of the machine.",
	Causes: []string{
		"a firewall rule takes options out of the SYN (`reset tcp option`, iptables -j TCPOPTSTRIP) or clears the ECN bits (-j ECN)",
		"a proxy, user-space stack or eBPF program answers the SYN itself",
	},
	Remedies: []string{
		"find the rule: `nft list ruleset | grep 'tcp option'`, `iptables-save | grep -E 'TCPOPTSTRIP|ECN'`",
		"`sysctl net.ipv4.tcp_timestamps net.ipv4.tcp_sack net.ipv4.tcp_window_scaling net.ipv4.tcp_ecn`",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, patience)
	client, server := optJoined(deadline, load)
	for i, info := range optInfo(client, server) {
		end := []string{"client", "server"}[i]
		spec.Evidence(end, "%s", info.Options)
		for _, option := range []struct {
			name, setting string
			agreed        bool
		}{
			{"timestamps", "net.ipv4.tcp_timestamps", info.Options.Timestamps},
			{"SACK", "net.ipv4.tcp_sack", info.Options.SACK},
			{"window scaling", "net.ipv4.tcp_window_scaling", info.Options.WindowScale},
		} {
			value := setting(option.setting)
			if option.name != "timestamps" && optCookies() {
				continue // the cookie has no room for it
			}
			Expect(option.agreed).To(Equal(value != 0), "whether the %s has %s, where %s is %d", end, option.name, option.setting, value)
		}
		// 2 takes ECN of a peer who asks; larger values are those of AccECN,
		// and an algorithm or a route may ask for it where 0 does not.
		if value := setting("net.ipv4.tcp_ecn"); value == 1 {
			Expect(info.Options.ECN).To(BeTrue(), "whether the %s has ECN, where net.ipv4.tcp_ecn is %d", end, value)
		}
	}
})

// optCookies says whether every SYN is answered with a cookie that has no room
// for options but the segment size (Documentation/networking/ip-sysctl.rst,
// tcp_syncookies): they go into the timestamp, where there is one.
func optCookies() bool {
	GinkgoHelper()
	return optAlwaysCookies() && setting("net.ipv4.tcp_timestamps") == 0
}

// optAlwaysCookies says whether every SYN is answered with a cookie, which has
// room for a few segment sizes only.
func optAlwaysCookies() bool {
	GinkgoHelper()
	text, err := sysctl.Read("net.ipv4.tcp_syncookies")
	return err == nil && text == "2"
}

// optJoined is joined on a machine that may be too busy for it.
func optJoined(ctx context.Context, load spec.Load) (client, server *sock.Socket) {
	GinkgoHelper()
	client = open()
	flowsToFreePort()
	server, err := accepted(ctx, client)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Close)
	return client, server
}

const (
	// roundTrips find a loss of one segment in 200 with a probability of
	// 99.996 %: each takes two segments.
	roundTrips = 1000
	// lookEvery is how many of them are made between two looks at what was
	// sent again, for which the kernel waits 0.2 s each time.
	lookEvery = 25
)

var _ = suite.It("has every byte acknowledged that was sent, and sends none twice", check.Check{
	ID: "TCP-082", Grade: check.GradeWarn, OS: "linux",
	Source: "linux",
	Asks:   "Sends 1,000 bytes there and back over one connection on 127.0.0.1, one at a time, so that each is a segment. In TCP_INFO neither end may have lost one and sent it again, and tcpi_bytes_acked of the client must be all bytes and one for the SYN.",
	Why:    "Loopback loses nothing, so what is sent again was taken away on the machine: each time a request waits 0.2 s or more, which shows as a few slow ones among thousands. Tools that reckon rates and backlogs from tcpi_bytes_acked (ss, load balancers, databases) need it exact.",
	Causes: []string{
		"a firewall rule limits or drops segments on lo (limit, connlimit, numgen, invalid state)",
		"a queueing discipline on lo drops (`tc -s qdisc show dev lo`; the default is noqueue)",
		"net.core.netdev_max_backlog overflows (second column of /proc/net/softnet_stat)",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see where they went: `nstat -az TcpRetransSegs TcpExtTCPTimeouts TcpExtTCPLossProbes TcpExtTCPBacklogDrop`, `nft list ruleset`",
		"`tc qdisc del dev lo root`",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, transferPatience)
	client, server := optJoined(deadline, load)
	if !optInfo(client)[0].Knows(sock.TCPInfoBytes) {
		spec.Skip(check.Need{Name: "Linux 4.1", How: "run it on Linux 4.1 or later, whose TCP_INFO tells bytes"}, "TCP_INFO tells no bytes")
	}
	for _, end := range []*sock.Socket{client, server} {
		Expect(end.Set(sock.NoDelay, 1)).To(Succeed())
	}
	sent, lost := 0, 0
	var err error
	for sent < roundTrips {
		err = optBackAndForth(deadline, client, server)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "round trip %d of %d", sent+1, roundTrips)
		sent++
		if sent%lookEvery == 0 || sent == roundTrips {
			if lost, err = spec.LostSegments(deadline, client, server); err != nil || lost > 0 {
				break
			}
		}
	}
	Expect(err).NotTo(HaveOccurred(), "read TCP_INFO")
	// What came back last acknowledged all that went there.
	ends := optInfo(client, server)
	spec.Evidence("client", "%s", ends[0])
	spec.Evidence("server", "%s", ends[1])
	spec.Measure("segments_sent_again", float64(ends[0].Retransmissions+ends[1].Retransmissions))
	if lost > 0 {
		if how, starved := load.Starved(); starved {
			spec.Inconclusive("%d segments were sent again, but %s", lost, how)
		}
		Expect(lost).To(BeZero(), "segments of %d round trips over lo that were lost and sent again", sent)
	}
	Expect(ends[0].BytesAcked).To(BeEquivalentTo(sent+1), "tcpi_bytes_acked of the client after %d bytes and the SYN", sent)
})

// optBackAndForth sends one byte to the server and one back.
func optBackAndForth(ctx context.Context, client, server *sock.Socket) error {
	for _, way := range []struct {
		name     string
		from, to *sock.Socket
	}{{"there", client, server}, {"back", server, client}} {
		if _, err := way.from.Send(ctx, []byte{'x'}, 0); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
		if _, err := way.to.Recv(ctx, make([]byte, 2), 0); err != nil {
			return fmt.Errorf("%s: %w", way.name, err)
		}
	}
	return nil
}

var _ = suite.It("fills the interface with its segments and scales its windows", check.Check{
	ID: "TCP-083", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 9293 3.7.1 (maximum segment size option); RFC 7323 2 (window scale option); tcp(7), TCP_INFO",
	Asks:   "Connects to 127.0.0.1 and reads TCP_INFO of both ends: the segments that each sends must fit lo's MTU and be at least half of what it and the window allow. Where net.ipv4.tcp_rmem allows more than 64 KiB, both windows must be scaled.",
	Why:    "lo has an MTU of 65,536, so that a segment carries 64 KiB. Clamped to the 1,460 bytes of Ethernet, the same transfer takes 45 times the packets and several times the processor; without scaling, a window is full after 64 KiB.",
	Causes: []string{
		"a firewall rule clamps the segment size on lo as well (`tcp option maxseg size set`, iptables -j TCPMSS), or takes the window scale option out",
		"a route to 127.0.0.0/8 has an advmss or mtu of its own (`ip route show table local`)",
		"net.ipv4.tcp_window_scaling is 0, or net.ipv4.tcp_rmem small",
	},
	Remedies: []string{
		"limit the rule to the interface that needs it: `nft list ruleset | grep maxseg`, `iptables-save -t mangle | grep TCPMSS`, then `oifname != lo`",
		"`ip link set lo mtu 65536`",
		"`sysctl -w net.ipv4.tcp_window_scaling=1 net.ipv4.tcp_rmem='4096 131072 6291456'`",
	},
}, func(ctx SpecContext) {
	lo, err := iface.Loopback()
	Expect(err).NotTo(HaveOccurred())
	load := spec.StartLoad()
	deadline := spec.Within(ctx, patience)
	client, server := optJoined(deadline, load)
	ends := optInfo(client, server)
	for i, info := range ends {
		end := []string{"client", "server"}[i]
		spec.Evidence(end, "MTU %d, %s", lo.MTUBytes, info)
		Expect(info.SendMSSBytes).To(BeNumerically("<=", lo.MTUBytes-tcpHeaders), "bytes of the segments that the %s sends over an MTU of %d", end, lo.MTUBytes)
		if least, why := optLeastSegment(lo.MTUBytes, info); least > 0 {
			Expect(info.SendMSSBytes).To(BeNumerically(">=", least), "bytes of the segments that the %s sends over an MTU of %d", end, lo.MTUBytes)
		} else {
			spec.Evidence("segment size", "not compared: %s", why)
		}
		if optCookies() || settings("net.ipv4.tcp_rmem")[2] < 1<<16 {
			spec.Evidence("window scale", "not asked: the settings leave none")
			continue
		}
		Expect(info.Options.WindowScale).To(BeTrue(), "whether the windows of the %s are scaled", end)
		Expect(info.Options.ReceiveShift).To(BeNumerically(">", 0), "bits by which the windows are scaled that the %s offers", end)
	}
})

// tcpHeaders are those of IPv4 and TCP without options, in bytes.
const tcpHeaders = 20 + 20

// optLeastSegment is half of what an MTU and the window of the peer leave for a
// segment, and why that is not known where it is 0.
func optLeastSegment(mtu int, sender sock.TCPInfo) (least int, why string) {
	if probing, err := sysctl.Read("net.ipv4.tcp_mtu_probing"); err == nil && probing == "2" {
		return 0, "net.ipv4.tcp_mtu_probing is 2, so that sizes begin at net.ipv4.tcp_base_mss"
	}
	if optAlwaysCookies() {
		return 0, "net.ipv4.tcp_syncookies is 2, and a cookie has room for a few sizes only"
	}
	const options = 40 // the most that TCP has room for
	window := 1<<16 - 1
	if sender.Knows(sock.TCPInfoWindow) {
		window = min(window, int(sender.SendWindowBytes))
	}
	// A segment is half of the window at most (RFC 9293 3.8.6.2.1).
	return min(mtu-tcpHeaders-options, window/2-options) / 2, ""
}
