package ports

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/suites/spec"
	"github.com/loopcheck/loopcheck/suites/spec/flowtest"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	// Those of the damaged namespaces in which this check alone is asked have a
	// Redis that asks nobody for a password.
	if strings.Contains(os.Getenv("LOOPCHECK_TEST_DAMAGE"), `"filter":"PORT-016"`) {
		go redis()
	}
	m.Run()
}

// redis answers PING, and whatever else, to everybody.
func redis() {
	listener, err := net.Listen("tcp4", "0.0.0.0:6379")
	for err == nil {
		var client net.Conn
		if client, err = listener.Accept(); err == nil {
			// A question that is left unread would end the connection by a reset.
			_, _ = client.Read(make([]byte, 64))
			_, _ = client.Write([]byte("+PONG\r\n"))
			client.Close()
		}
	}
	fmt.Fprintln(os.Stderr, err)
}

func TestPorts(t *testing.T) { spec.RunUnderGoTest(t, "ports") }

var _ = flowtest.Expect(func(id string) []check.Flow {
	ports := map[string]uint16{"PORT-001": 0, "PORT-005": 0, "PORT-006": 0, "PORT-012": 0, "PORT-015": dynamicPort}
	port, sends := ports[id]
	if !sends {
		return nil
	}
	addrs := []string{"127.0.0.1"}
	if spec.LacksIPv6() == "" {
		addrs = append(addrs, "::1")
	}
	var flows []check.Flow
	for _, addr := range addrs {
		for _, protocol := range []string{"tcp", "udp"} {
			flows = append(flows, check.Flow{Protocol: protocol, To: netip.AddrPortFrom(netip.MustParseAddr(addr), port)})
		}
	}
	return flows
})
