package sock_test

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

func TestNames(t *testing.T) {
	g := NewWithT(t)
	g.Expect((sock.Readable | sock.HungUp).String()).To(Equal("IN+HUP"))
	g.Expect(sock.Event(0).String()).To(Equal("none"))
	g.Expect(sock.SynSent.String()).To(Equal("SYN_SENT"))
	g.Expect(sock.Closing.String()).To(Equal("CLOSING"))
	g.Expect(sock.TCPState(99).String()).To(Equal("state 99"))
	g.Expect(sock.Write.String()).To(Equal("SHUT_WR"))
	g.Expect(sock.IPv4.Loopback(7).String()).To(Equal("127.0.0.1:7"))
	g.Expect(sock.IPv6.Loopback(7).String()).To(Equal("[::1]:7"))
}
