package tcp

import (
	"context"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// sendWhole sends bytes that one send has room for.
func sendWhole(ctx context.Context, s *sock.Socket, text string, flags sock.Flag) {
	GinkgoHelper()
	n, err := s.Send(ctx, []byte(text), flags)
	Expect(err).NotTo(HaveOccurred(), "sending %q", text)
	Expect(n).To(Equal(len(text)), "bytes of %q that were sent", text)
}

// arrive waits until that many bytes stand in the receive queue.
func arrive(ctx context.Context, s *sock.Socket, count int) {
	GinkgoHelper()
	Eventually(s.Unread).WithContext(ctx).Should(Equal(count), "bytes that wait to be read (SIOCINQ), of %d that were sent", count)
}

// readText makes one read, for up to size bytes.
func readText(ctx context.Context, s *sock.Socket, size int, flags sock.Flag, what string) string {
	GinkgoHelper()
	buf := make([]byte, size)
	n, err := s.Recv(ctx, buf, flags)
	Expect(err).NotTo(HaveOccurred(), "%s", what)
	return string(buf[:n])
}

// letBlock makes the socket's own calls wait in the kernel. What waits there
// ends with the context, or with the spec.
func letBlock(ctx context.Context, s *sock.Socket) {
	GinkgoHelper()
	Expect(s.SetBlocking(true)).To(Succeed())
	endWaits(ctx, s)
}

// endWaits ends what waits in the kernel on a blocking socket with the
// context, or with the spec.
func endWaits(ctx context.Context, s *sock.Socket) {
	over := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(over)
		_ = s.Shutdown(sock.Both) // the peer may have ended it
	})
	DeferCleanup(func() {
		if stop() {
			_ = s.Shutdown(sock.Both)
			return
		}
		<-over
	})
}
