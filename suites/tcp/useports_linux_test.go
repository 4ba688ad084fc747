package tcp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// portsVar holds the ports that this binary is started again to use up.
const portsVar = "LOOPCHECK_TEST_USE_PORTS"

// usePortsPatience bounds the use of some hundred ports, which takes tens of
// milliseconds.
const usePortsPatience = 30 * time.Second

func TestMain(m *testing.M) {
	sandbox.Main()
	ports, wanted := os.LookupEnv(portsVar)
	if !wanted {
		os.Exit(m.Run())
	}
	if err := useUp(ports); err != nil {
		fmt.Fprintf(os.Stderr, "use up ports %s: %v\n", ports, err)
		os.Exit(1)
	}
}

// usePorts is the command that uses up these ports of 127.0.0.1 for a minute.
func usePorts(first, last int) string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf("env %s='%d %d' '%s'", portsVar, first, last, self)
}

// useUp leaves every port from the first to the last in TIME_WAIT, which keeps
// one that was bound and then closed first when no process is left.
func useUp(ports string) error {
	var first, last uint16
	if _, err := fmt.Sscan(ports, &first, &last); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), usePortsPatience)
	defer cancel()
	for port := first; port <= last; port++ {
		client, err := sock.New(sock.TCP, sock.IPv4)
		if err != nil {
			return err
		}
		if err := client.Bind(sock.IPv4.Loopback(port)); err != nil {
			return err
		}
		server, err := accepted(ctx, client)
		if err != nil {
			return err
		}
		if err := errors.Join(client.Close(), server.Close()); err != nil {
			return err
		}
	}
	return nil
}
