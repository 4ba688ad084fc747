package tcp

import (
	"fmt"
	"os"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
)

// portsVar holds the ports that TestUsePorts is to use up.
const portsVar = "LOOPCHECK_TEST_USE_PORTS"

// usePorts is the command that uses up these ports of 127.0.0.1 for a minute.
func usePorts(first, last int) string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("env %s='%d %d' '%s' -test.run='^TestUsePorts$'", portsVar, first, last, self)
}

// TestUsePorts does nothing unless usePorts starts it. A port that was bound
// and then closed first is kept by TIME_WAIT when no process is left.
func TestUsePorts(t *testing.T) {
	text, wanted := os.LookupEnv(portsVar)
	if !wanted {
		t.Skip("it serves another test, in a namespace of its own")
	}
	g, ctx := NewWithT(t), soon(t)
	var first, last uint16
	_, err := fmt.Sscan(text, &first, &last)
	g.Expect(err).NotTo(HaveOccurred())
	for port := first; port <= last; port++ {
		client, err := sock.New(sock.TCP, sock.IPv4)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(client.Bind(sock.IPv4.Loopback(port))).To(Succeed())
		server, err := accepted(ctx, client)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(client.Close()).To(Succeed())
		g.Expect(server.Close()).To(Succeed())
	}
}
