package counters

import (
	"io"
	"net"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// patience bounds what has to happen at once on loopback.
const patience = 10 * time.Second

var loopback = net.IPv4(127, 0, 0, 1)

// readSockets is for a difference inside Eventually.
func readSockets(t *testing.T) Sockets {
	t.Helper()
	s, err := ReadSockets()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTimeWaitIsCounted(t *testing.T) {
	alone(t)
	g := NewWithT(t)
	listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: loopback})
	g.Expect(err).NotTo(HaveOccurred())
	defer listener.Close()
	before := readSockets(t)

	client, err := net.DialTCP("tcp4", nil, listener.Addr().(*net.TCPAddr))
	g.Expect(err).NotTo(HaveOccurred())
	server, err := listener.AcceptTCP()
	g.Expect(err).NotTo(HaveOccurred())
	during := readSockets(t).Sub(before)
	g.Expect(during.Used).To(BeNumerically("==", 2))
	g.Expect(during.TCP.InUse).To(BeNumerically("==", 2))

	g.Expect(client.Close()).To(Succeed())
	_, err = server.Read(make([]byte, 1))
	g.Expect(err).To(MatchError(io.EOF))
	g.Expect(server.Close()).To(Succeed())
	tcp := func() TCPSockets { return readSockets(t).Sub(before).TCP }
	g.Eventually(tcp).WithTimeout(patience).Should(And(
		HaveField("TimeWait", int64(1)),
		HaveField("InUse", int64(0)),
	))
}

func TestUDPSocketIsCounted(t *testing.T) {
	alone(t)
	g := NewWithT(t)
	before := readSockets(t)
	before6, err6 := ReadSockets6()

	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	g.Expect(err).NotTo(HaveOccurred())
	moved := readSockets(t).Sub(before)
	g.Expect(moved.UDP.InUse).To(BeNumerically("==", 1))
	g.Expect(moved.Used).To(BeNumerically("==", 1))
	g.Expect(socket.Close()).To(Succeed())
	g.Expect(readSockets(t).Sub(before).UDP.InUse).To(BeZero())

	if err6 != nil {
		t.Skipf("no IPv6 here: %v", err6)
	}
	socket, err = net.ListenUDP("udp6", &net.UDPAddr{IP: net.IPv6loopback})
	if err != nil {
		t.Skipf("no IPv6 here: %v", err)
	}
	defer socket.Close()
	now6, err := ReadSockets6()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(now6.Sub(before6)).To(Equal(Sockets6{UDP: 1}))
	g.Expect(readSockets(t).Sub(before).UDP.InUse).To(BeZero(), "IPv6's are counted apart")
}

// sendOver sends datagrams of 100 bytes over lo and awaits each.
func sendOver(t *testing.T, datagrams int) {
	t.Helper()
	g := NewWithT(t)
	receiver, err := net.ListenUDP("udp4", &net.UDPAddr{IP: loopback})
	g.Expect(err).NotTo(HaveOccurred())
	defer receiver.Close()
	g.Expect(receiver.SetReadDeadline(time.Now().Add(patience))).To(Succeed())
	sender, err := net.DialUDP("udp4", nil, receiver.LocalAddr().(*net.UDPAddr))
	g.Expect(err).NotTo(HaveOccurred())
	defer sender.Close()
	for range datagrams {
		_, err := sender.Write(make([]byte, 100))
		g.Expect(err).NotTo(HaveOccurred())
		n, err := receiver.Read(make([]byte, 200))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(n).To(Equal(100))
	}
}

func TestLoopbackCountsPackets(t *testing.T) {
	alone(t)
	g := NewWithT(t)
	before, err := ReadInterfaces()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(before).To(HaveKey("lo"))
	sendOver(t, 10)
	now, err := ReadInterfaces()
	g.Expect(err).NotTo(HaveOccurred())
	const size = 20 + 8 + 100 // IPv4, UDP, payload
	g.Expect(now.Sub(before)["lo"]).To(Equal(Interface{RxPackets: 10, TxPackets: 10, RxBytes: 10 * size, TxBytes: 10 * size}))
}

func TestSoftnetCountsPackets(t *testing.T) {
	g := NewWithT(t)
	before, err := ReadSoftnet()
	g.Expect(err).NotTo(HaveOccurred())
	sendOver(t, 10)
	now, err := ReadSoftnet()
	g.Expect(err).NotTo(HaveOccurred())
	var processed uint32
	for _, cpu := range now.Sub(before).PerCPU {
		processed += cpu.Processed
	}
	g.Expect(processed).To(BeNumerically(">=", 10), "%v", now.Sub(before))

	perCPU, err := ReadPerCPU()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(now.PerCPU).To(HaveLen(len(perCPU)), "both list the processors that are online")
	if now.Numbered() {
		for cpu := range now.PerCPU {
			g.Expect(perCPU).To(HaveKey(cpu))
		}
	}
}
