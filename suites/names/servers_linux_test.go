package names

import (
	"net"
	"testing"

	. "github.com/onsi/gomega"
)

func TestServersOfEverySort(t *testing.T) {
	for name, c := range map[string]struct {
		serve func(*net.UDPConn)
		want  reaction
	}{
		"answers":        {func(c *net.UDPConn) { reply(c, true) }, answered},
		"reads":          {func(c *net.UDPConn) { reply(c, false) }, silent},
		"does not read":  {func(*net.UDPConn) {}, unread},
		"nobody is here": {func(c *net.UDPConn) { c.Close() }, refused},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewWithT(t)
			conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			g.Expect(err).NotTo(HaveOccurred())
			t.Cleanup(func() { conn.Close() })
			at := conn.LocalAddr().(*net.UDPAddr).AddrPort()
			c.serve(conn)
			g.Expect(askServer(t.Context(), at)).To(Equal(c.want))
		})
	}
}

// reply reads all that comes until the socket is closed.
func reply(c *net.UDPConn, answer bool) {
	go func() {
		question := make([]byte, 512)
		for {
			n, from, err := c.ReadFromUDPAddrPort(question)
			if err != nil {
				return
			}
			if answer {
				_, _ = c.WriteToUDPAddrPort(question[:n], from)
			}
		}
	}()
}
