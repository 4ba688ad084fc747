package sock_test

import (
	"bytes"
	"io"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// connected returns the two ends of a connection over IPv4.
func connected(t *testing.T) (client, server *sock.Socket) {
	t.Helper()
	g, ctx := NewWithT(t), bounded(t)
	listener, addr := bound(t, sock.TCP, sock.IPv4)
	g.Expect(listener.Listen(1)).To(Succeed())
	client = open(t, sock.TCP, sock.IPv4)
	g.Expect(client.Connect(ctx, addr)).To(Succeed())
	server, err := listener.Accept(ctx)
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { server.Close() })
	return client, server
}

func TestReadyDoesNotWait(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	client, server := connected(t)
	g.Expect(server.Ready(sock.Readable)).To(BeZero())
	g.Expect(server.Ready(sock.Readable | sock.Writable)).To(Equal(sock.Writable))
	g.Expect(client.Send(ctx, []byte("x"), 0)).To(Equal(1))
	g.Expect(server.Poll(ctx, sock.Readable)).To(Equal(sock.Readable))
	g.Expect(server.Ready(sock.Readable)).To(Equal(sock.Readable))
}

func TestPartsAreOneStream(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	client, server := connected(t)
	g.Expect(client.SendParts(ctx, [][]byte{{}, []byte("ab"), {}, []byte("cde")}, 0)).To(Equal(5))
	one, two := make([]byte, 3), make([]byte, 2)
	g.Expect(server.RecvParts(ctx, [][]byte{{}, one, {}, two}, 0)).To(Equal(5))
	g.Expect(string(one) + string(two)).To(Equal("abcde"))
}

func TestFileIsSentFromAnOffset(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	client, server := connected(t)
	contents := bytes.Repeat([]byte("0123456789"), 1000)
	f, err := sock.MemoryFile(contents)
	g.Expect(err).NotTo(HaveOccurred())
	defer f.Close()
	g.Expect(client.SendFile(ctx, f, 10, 5)).To(Equal(5))
	buf := make([]byte, 10)
	g.Expect(server.Recv(ctx, buf, 0)).To(Equal(5))
	g.Expect(string(buf[:5])).To(Equal("01234"))
	sent, err := client.SendFile(ctx, f, int64(len(contents)-3), 5)
	g.Expect(sent).To(Equal(3))
	g.Expect(err).To(MatchError(ContainSubstring("after 3 of 5 bytes")))
	g.Expect(f.Seek(0, io.SeekCurrent)).To(BeEquivalentTo(len(contents)), "the file's own offset stays")
}

func TestSignalIsSeenAndKeptFromTheProcess(t *testing.T) {
	g := NewWithT(t)
	client, _ := connected(t)
	g.Expect(client.Shutdown(sock.Write)).To(Succeed())
	for flags, want := range map[sock.Flag]bool{0: false, sock.WithSignal: true} {
		raised, sendErr, err := client.SendSeeingSignal([]byte("x"), flags)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(sendErr).To(MatchError(syscall.EPIPE))
		g.Expect(raised).To(Equal(want))
	}
}

func TestCompletionOfSendsWithoutCopy(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	client, server := connected(t)
	if err := client.Set(sock.ZeroCopy, 1); err != nil {
		t.Skip(err)
	}
	g.Expect(client.Completion()).To(BeNil())
	p := make([]byte, 4096)
	for range 2 {
		g.Expect(client.Send(ctx, p, sock.WithoutCopy)).To(Equal(len(p)))
		g.Expect(server.Recv(ctx, p, sock.Peek)).To(BeNumerically(">", 0))
	}
	g.Expect(client.Poll(ctx, 0)).To(Equal(sock.Failed))
	last := func() (uint32, error) {
		c, err := client.Completion()
		if c == nil {
			return 0, err
		}
		return c.Last, err
	}
	g.Eventually(last).WithContext(ctx).Should(BeEquivalentTo(1))
	g.Expect(client.Completion()).To(BeNil(), "reading takes it")
}

func TestEdgesAreToldOnce(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	client, server := connected(t)
	edges, err := server.WatchEdges(sock.Readable | sock.PeerClosed)
	g.Expect(err).NotTo(HaveOccurred())
	defer edges.Close()
	g.Expect(edges.Next()).To(BeZero())
	g.Expect(client.Send(ctx, []byte("x"), 0)).To(Equal(1))
	g.Expect(edges.Wait(ctx)).To(Equal(sock.Readable))
	g.Expect(edges.Next()).To(BeZero())
	g.Expect(client.Close()).To(Succeed())
	g.Expect(edges.Wait(ctx)).To(Equal(sock.Readable | sock.PeerClosed))
}

func TestEndsOfRecordsKeepSegmentsApart(t *testing.T) {
	g, ctx := NewWithT(t), bounded(t)
	client, server := connected(t)
	// What cannot be sent yet would be one segment.
	g.Expect(client.Set(sock.Cork, 1)).To(Succeed())
	for range 3 {
		g.Expect(client.Send(ctx, []byte("ab"), sock.EndOfRecord)).To(Equal(2))
	}
	g.Expect(client.Set(sock.Cork, 0)).To(Succeed())
	buf := make([]byte, 6)
	for n := 0; n < len(buf); {
		got, err := server.Recv(ctx, buf[n:], 0)
		g.Expect(err).NotTo(HaveOccurred())
		n += got
	}
	info, err := client.TCPInfo()
	g.Expect(err).NotTo(HaveOccurred())
	// One that is acknowledged late is sent again.
	g.Expect(info.DataSegmentsSent - info.Retransmissions).To(BeEquivalentTo(3))
}
