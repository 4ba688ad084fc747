package sock_test

import (
	"net"
	"os"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestTCPInfoFollowsATransfer(t *testing.T) {
	eachFamily(t, func(t *testing.T, family sock.Family) {
		g, ctx := NewWithT(t), bounded(t)
		listener, addr := bound(t, sock.TCP, family)
		g.Expect(listener.Listen(1)).To(Succeed())
		client := open(t, sock.TCP, family)
		g.Expect(client.Connect(ctx, addr)).To(Succeed())
		server, err := listener.Accept(ctx)
		g.Expect(err).NotTo(HaveOccurred())
		defer server.Close()

		before, err := client.TCPInfo()
		g.Expect(err).NotTo(HaveOccurred())
		if !before.Knows(sock.TCPInfoSent) {
			t.Skipf("needs Linux 4.19 or later: this kernel tells %d bytes of TCP_INFO", before.Len)
		}
		serverBefore, err := server.TCPInfo()
		g.Expect(err).NotTo(HaveOccurred())

		const size = 1 << 20
		sent := make(chan error, 1)
		go func() {
			for left := make([]byte, size); len(left) > 0; {
				n, err := client.Send(ctx, left, 0)
				if err != nil {
					sent <- err
					return
				}
				left = left[n:]
			}
			sent <- nil
		}()
		for received, buffer := 0, make([]byte, 64<<10); received < size; {
			n, err := server.Recv(ctx, buffer, 0)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(n).To(BeNumerically(">", 0), "the stream ended after %d bytes", received)
			received += n
		}
		g.Expect(<-sent).To(Succeed())

		// The last acknowledgement may be delayed.
		moved := func() (sock.TCPCounters, error) {
			info, err := client.TCPInfo()
			return info.Sub(before), err
		}
		g.Eventually(moved).WithTimeout(patience).Should(HaveField("BytesAcked", uint64(size)))
		of, err := moved()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(of.BytesSent-of.BytesRetransmitted).To(BeNumerically("==", size), "%v", of)
		g.Expect(of.DataSegmentsSent).To(BeNumerically(">", 0))
		g.Expect(of.SegmentsSent).To(BeNumerically(">=", of.DataSegmentsSent))
		g.Expect(of.Retransmissions == 0).To(Equal(of.BytesRetransmitted == 0), "%v", of)

		serverNow, err := server.TCPInfo()
		g.Expect(err).NotTo(HaveOccurred())
		received := serverNow.Sub(serverBefore)
		g.Expect(received.BytesReceived).To(BeNumerically("==", size))
		g.Expect(received.BytesSent).To(BeZero())
		g.Expect(received.DataSegmentsReceived).To(BeNumerically(">", 0))

		now, err := client.TCPInfo()
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(now.State).To(Equal(sock.Established))
		g.Expect(now.RTT).To(BeNumerically(">", 0))
		g.Expect(now.MinRTT).To(BeNumerically(">", 0))
		g.Expect(now.CongestionWindow).To(BeNumerically(">", 0))
		g.Expect(now.SendMSSBytes).To(BeNumerically("<", now.PathMTUBytes), "a segment has headers")
		g.Expect(now.NotSentBytes).To(BeZero())
		g.Expect(now.Unacked).To(BeZero())
	})
}

// One end's send shift is the other's receive shift (RFC 7323 2.2), and both
// are those of the system.
func TestTCPInfoTellsTheOptions(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	listener, addr := bound(t, sock.TCP, sock.IPv4)
	g.Expect(listener.Listen(1)).To(Succeed())
	client := open(t, sock.TCP, sock.IPv4)
	g.Expect(client.Connect(ctx, addr)).To(Succeed())
	server, err := listener.Accept(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	defer server.Close()

	one, err := client.TCPInfo()
	g.Expect(err).NotTo(HaveOccurred())
	other, err := server.TCPInfo()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(one.Options.SendShift).To(Equal(other.Options.ReceiveShift))
	g.Expect(one.Options.ReceiveShift).To(Equal(other.Options.SendShift))
	for setting, is := range map[string]bool{
		"tcp_timestamps":     one.Options.Timestamps,
		"tcp_sack":           one.Options.SACK,
		"tcp_window_scaling": one.Options.WindowScale,
	} {
		value, err := os.ReadFile("/proc/sys/net/ipv4/" + setting)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(is).To(Equal(strings.TrimSpace(string(value)) != "0"), setting)
	}
}

// What SYN and FIN add to the bytes is part of what the fields mean.
func TestTCPInfoCountsSYNAndFIN(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	listener, addr := bound(t, sock.TCP, sock.IPv4)
	g.Expect(listener.Listen(1)).To(Succeed())
	client := open(t, sock.TCP, sock.IPv4)
	g.Expect(client.Connect(ctx, addr)).To(Succeed())
	server, err := listener.Accept(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	defer server.Close()
	info, err := client.TCPInfo()
	g.Expect(err).NotTo(HaveOccurred())
	if !info.Knows(sock.TCPInfoBytes) {
		t.Skipf("needs Linux 4.1 or later: this kernel tells %d bytes of TCP_INFO", info.Len)
	}
	g.Expect(info.BytesAcked).To(BeNumerically("==", 1), "the SYN")
	g.Expect(server.TCPInfo()).To(HaveField("BytesAcked", uint64(0)), "the SYN of the end that accepted")

	g.Expect(client.Shutdown(sock.Write)).To(Succeed())
	g.Eventually(client.TCPInfo).WithTimeout(patience).Should(HaveField("State", sock.FinWait2))
	g.Expect(client.TCPInfo()).To(HaveField("BytesAcked", uint64(2)), "SYN and FIN")
	g.Expect(server.TCPInfo()).To(HaveField("BytesReceived", uint64(1)), "the FIN")
}

func TestTCPInfoOfOtherSockets(t *testing.T) {
	g := NewWithT(t)
	udp := open(t, sock.UDP, sock.IPv4)
	_, err := udp.TCPInfo()
	g.Expect(err).To(MatchError(syscall.EOPNOTSUPP))
	closed := open(t, sock.TCP, sock.IPv4)
	g.Expect(closed.Close()).To(Succeed())
	_, err = closed.TCPInfo()
	g.Expect(err).To(MatchError(syscall.EBADF))
}

func TestTCPInfoOfTheNetPackage(t *testing.T) {
	g := NewWithT(t)
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	g.Expect(err).NotTo(HaveOccurred())
	defer listener.Close()
	conn, err := net.DialTCP("tcp4", nil, listener.Addr().(*net.TCPAddr))
	g.Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	g.Expect(sock.ConnTCPInfo(listener)).To(HaveField("State", sock.Listening))
	g.Expect(sock.ConnTCPInfo(conn)).To(HaveField("State", sock.Established))
	g.Expect(conn.Close()).To(Succeed())
	_, err = sock.ConnTCPInfo(conn)
	g.Expect(err).To(MatchError(net.ErrClosed))
}
