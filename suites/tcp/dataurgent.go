package tcp

import (
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("stops a read at the urgent byte, which is read once and apart", check.Check{
	ID: "TCP-036", Grade: check.GradeFail, OS: "linux",
	Source: "RFC 6093; tcp(7), SIOCATMARK, tcp_stdurg; recv(2), MSG_OOB; sockatmark(3)",
	Asks:   "Sends two bytes, one with MSG_OOB, and two more. A read with room for all must return the first two, SIOCATMARK then say 1, a read with MSG_OOB return the urgent byte, the same once more EINVAL, and the next read the last two. (With net.ipv4.tcp_stdurg at 1 the urgent byte is the one after.)",
	Why:    "FTP's ABOR, Telnet's and rlogin's interrupts are urgent data. Where the mark is lost, the byte stands in the middle of the stream as if it were data, and the command does not get through; intrusion detection and server then read different streams.",
	Causes: []string{
		"a firewall, traffic normaliser or eBPF program clears the URG flag or the urgent pointer",
		spec.OtherStack,
	},
	Remedies: []string{
		"look for rules that rewrite TCP flags: `nft list ruleset`, `iptables -t mangle -vnL`, `tc filter show dev lo`, `bpftool net`",
		"have the program use a second connection, or marks of its own protocol: RFC 6093 advises against urgent data",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	client, server := joined(deadline)
	before, urgent, after := "ab", "c", "de"
	if standard, err := sysctl.Read("net.ipv4.tcp_stdurg"); err == nil && standard != "0" {
		before, urgent, after = "abc", "d", "e"
	}
	sendWhole(deadline, client, "ab", 0)
	sendWhole(deadline, client, "c", sock.OutOfBand)
	sendWhole(deadline, client, "de", 0)
	Eventually(client.Unsent).WithContext(deadline).Should(BeZero(), "bytes that the peer has not acknowledged (SIOCOUTQ)")

	Expect(server.AtMark()).To(BeFalse(), "SIOCATMARK with bytes before the urgent one")
	Expect(readText(deadline, server, 10, 0, "a read up to the urgent byte")).To(Equal(before), "what a read returned before the urgent byte")
	Expect(server.AtMark()).To(BeTrue(), "SIOCATMARK at the urgent byte")
	Expect(readText(deadline, server, 1, sock.OutOfBand, "a read with MSG_OOB")).To(Equal(urgent), "what a read with MSG_OOB returned")
	_, err := server.TryRecv(make([]byte, 1), sock.OutOfBand)
	Expect(err).To(MatchError(syscall.EINVAL), "a second read with MSG_OOB")
	Expect(readText(deadline, server, 10, 0, "a read after the urgent byte")).To(Equal(after), "what a read returned after the urgent byte")
	Expect(server.AtMark()).To(BeFalse(), "SIOCATMARK behind the urgent byte")
	spec.Evidence("urgent data", "read %q, at the mark %q with MSG_OOB, once more: %s, then %q", before, urgent, reason(err), after)
})
