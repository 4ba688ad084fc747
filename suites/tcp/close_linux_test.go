package tcp

import (
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestPortOfAnAbortedConnectionIsFree(t *testing.T) {
	g, ctx := NewWithT(t), soon(t)
	port, err := closedPort(ctx, abort)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(freeAgain(ctx, port, abort)).To(Succeed())
}

func TestPortInTimeWaitIsNotFree(t *testing.T) {
	g, ctx := NewWithT(t), soon(t)
	port, err := closedPort(ctx, (*sock.Socket).Close)
	g.Expect(err).NotTo(HaveOccurred())
	err = freeAgain(ctx, port, (*sock.Socket).Close)
	g.Expect(err).To(MatchError(syscall.EADDRINUSE))
	g.Expect(err).To(MatchError(ContainSubstring("the ports of 4 closed connections")))
	g.Expect(freeAgain(ctx, port, abort)).To(Succeed(), "one port that is taken proves nothing yet")
}
