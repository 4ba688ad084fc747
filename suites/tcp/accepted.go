package tcp

import (
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// accWait is how long a read is made to wait, to see that it does.
const accWait = 10 * time.Millisecond

var _ = suite.It("gives an accepted socket no O_NONBLOCK, though its listener has it", check.Check{
	ID: "TCP-013", Grade: check.GradeFail, OS: "linux",
	Source: "accept(2), NOTES; fcntl(2), O_NONBLOCK",
	Asks:   "Accepts a connection on a nonblocking listener of 127.0.0.1. What accept returned must not have O_NONBLOCK, and a read of nothing, bounded by SO_RCVTIMEO of 10 ms, must wait and then return EAGAIN.",
	Why:    "BSD and macOS pass the flag on, Linux does not, and programs count on either. A server that reads in threads of their own would see EAGAIN at once and drop its client, or spin on it with a processor of its own.",
	Causes: []string{
		spec.OtherStack,
		"a library put before the program (LD_PRELOAD) that accepts in its place",
	},
	Remedies: []string{
		spec.OwnStack,
		"see what is put before programs: `cat /etc/ld.so.preload`, `echo $LD_PRELOAD`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	listener, addr := listening(8)
	Expect(listener.Blocking()).To(BeFalse(), "whether the listener at %v blocks", addr)
	accQueue(deadline, listener, addr, 1)
	server, err := listener.TryAccept()
	Expect(err).NotTo(HaveOccurred(), "accept at %v, where one waits", addr)
	DeferCleanup(server.Close)
	blocking, err := server.Blocking()
	Expect(err).NotTo(HaveOccurred())
	Expect(blocking).To(BeTrue(), "whether what a nonblocking listener accepted blocks")

	Expect(server.SetWaits(accWait, 0)).To(Succeed())
	endWaits(deadline, server)
	start := time.Now()
	_, read := server.TryRecv(make([]byte, 1), 0)
	waited := time.Since(start)
	Expect(read).To(MatchError(syscall.EAGAIN), "a read of nothing with SO_RCVTIMEO of %v on an accepted socket", accWait)
	Expect(waited).To(BeNumerically(">=", accWait/2), "how long a read of nothing waited on an accepted socket with SO_RCVTIMEO of %v", accWait)
	spec.Evidence("accepted socket", "blocks; a read of nothing waited %v for SO_RCVTIMEO of %v", waited.Round(time.Millisecond), accWait)
})

var _ = suite.It("passes a listener's options on to what it accepts", check.Check{
	ID: "TCP-014", Grade: check.GradeFail, OS: "linux",
	Source: "tcp(7) (a socket that accept returns inherits the listener's options); socket(7), SO_RCVBUF; ip(7), IP_TOS, IP_TTL; ip-sysctl, tcp_reflect_tos; gVisor, AcceptedInheritsTCPUserTimeout",
	Asks:   "Sets TCP_NODELAY, SO_KEEPALIVE, SO_RCVBUF, IP_TTL, IP_TOS and TCP_USER_TIMEOUT on a listener of 127.0.0.1, accepts a connection, and reads all of them back from what was accepted.",
	Why:    "Servers set options once, on the listener: a receive buffer counts only if it is there when the SYN comes. Where they are not passed on, answers wait for Nagle's algorithm, dead clients are kept, and quality of service is lost, with no error at all.",
	Causes: []string{
		spec.OtherStack,
		"an eBPF program (sock_ops, setsockopt hook of a cgroup) changes options of new connections",
	},
	Remedies: []string{
		spec.OwnStack,
		"list the programs at the hooks: `bpftool cgroup tree`",
	},
}, func(ctx SpecContext) {
	deadline := spec.Within(ctx, patience)
	const tos, receiveBuffer = 0x10, 20000
	options := []struct {
		option    sock.Option
		set, want int
	}{
		{sock.NoDelay, 1, 1},
		{sock.KeepAlive, 1, 1},
		{sock.ReceiveBuffer, receiveBuffer, 2 * receiveBuffer},
		{sock.TTL, 33, 33},
		{sock.TOS, tos, tos},
		{sock.UserTimeout, 12345, 12345},
	}
	listener, addr := listening(8)
	for _, o := range options {
		Expect(listener.Set(o.option, o.set)).To(Succeed())
	}
	client := open()
	if reflected, err := sysctl.Read("net.ipv4.tcp_reflect_tos"); err == nil && reflected != "0" {
		// What is accepted then has that of the client's SYN.
		Expect(client.Set(sock.TOS, tos)).To(Succeed())
	}
	Expect(client.Connect(deadline, addr)).To(Succeed(), "a connection to %v", addr)
	from, err := client.LocalAddr()
	Expect(err).NotTo(HaveOccurred())
	server, err := acceptFrom(deadline, listener, from)
	Expect(err).NotTo(HaveOccurred(), "the connection to %v", addr)
	DeferCleanup(server.Close)
	for _, o := range options {
		got, err := server.Get(o.option)
		Expect(err).NotTo(HaveOccurred())
		Expect(got).To(Equal(o.want), "%s of an accepted socket whose listener had it set to %d", o.option, o.set)
		spec.Evidence(o.option.String(), "%d", got)
	}
})
