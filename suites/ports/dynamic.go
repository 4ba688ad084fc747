package ports

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/echo"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// dynamicPort is an example of the range that is assigned to nobody, 49152
	// to 65535 (RFC 6335 6). It is above the ports that Linux chooses itself.
	dynamicPort = 62893
	// turnPatience is how long others may hold the port. Another run of this
	// check needs it for milliseconds.
	turnPatience = 2 * time.Second
	turnInterval = 5 * time.Millisecond
)

var _ = suite.It("serves echo on port 62893, TCP and UDP", check.Check{
	ID: "PORT-015", Grade: check.GradeFail,
	Source: "RFC 6335 6 (dynamic ports, 49152 to 65535); RFC 862",
	Needs:  []check.Need{portFree},
	Asks:   "Starts an echo server on port 62893 of 127.0.0.1, and of ::1 where there is IPv6, over TCP and then over UDP, and has 1,400 bytes come back unchanged. It waits up to two seconds for somebody else who has the port.",
	Why:    "Programs are free to listen anywhere in the dynamic range, and development servers, test runners and agents do. A firewall or policy that knows only the well-known ports breaks them on the machine itself.",
	Causes: []string{
		"a firewall drops or rejects ports of the dynamic range on lo as well",
		"an eBPF program at the cgroup's bind hook or a security module (SELinux, AppArmor) refuses the port",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see which rule counts the packets: `nft list ruleset` or `iptables -vnL`",
		"see what refused a bind: `ausearch -m avc`, `dmesg`, `bpftool cgroup tree`",
	},
}, func(ctx SpecContext) {
	for _, family := range families() {
		for _, kind := range kinds {
			at := family.Loopback(dynamicPort)
			server := serve(ctx, kind, at)
			deadline := spec.Within(ctx, patience)
			spec.Flow(kind.String(), at)
			Expect(echoed(deadline, kind, at)).To(Succeed(), "echo over %s from %v", kind, at)
			Expect(server.Close()).To(Succeed())
			spec.Evidence(fmt.Sprintf("%s %v", kind, at), "%d bytes came back unchanged", len(message))
		}
	}
})

var portFree = check.Need{
	Name: "port " + strconv.Itoa(dynamicPort),
	How:  fmt.Sprintf("end the program that holds it: `ss -tuanp 'sport = :%d'` names it to root", dynamicPort),
}

var message = bytes.Repeat([]byte("loopback"), 1400/8)

// serve starts an echo server, or skips the spec where somebody else keeps the
// port.
func serve(ctx context.Context, kind sock.Kind, at netip.AddrPort) *echo.Server {
	GinkgoHelper()
	server, err := take(ctx, func() (*echo.Server, error) { return start(ctx, kind, at) })
	if inUse(err) {
		spec.Skip(portFree, fmt.Sprintf("%v: %s", err, holder(ctx, kind, at)))
	}
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Close)
	return server
}

func start(ctx context.Context, kind sock.Kind, at netip.AddrPort) (*echo.Server, error) {
	if kind == sock.UDP {
		return echo.UDPAt(ctx, at)
	}
	return echo.TCPAt(ctx, at)
}

// take starts a server. While somebody else holds its port it waits for its
// turn, turnPatience at most.
func take(ctx context.Context, start func() (*echo.Server, error)) (*echo.Server, error) {
	turn, cancel := context.WithTimeout(ctx, turnPatience)
	defer cancel()
	again := time.NewTicker(turnInterval)
	defer again.Stop()
	for {
		server, err := start()
		if !inUse(err) || turn.Err() != nil {
			return server, err
		}
		select {
		case <-again.C:
		case <-turn.Done():
		}
	}
}

// holder names what is in the way of a binding, as far as this user may know.
func holder(ctx context.Context, kind sock.Kind, at netip.AddrPort) string {
	sockets, err := socktable.Holders(ctx, socktable.Binding{Protocol: protocolOf[kind], Local: at})
	switch {
	case err != nil:
		return "who holds it could not be found out: " + err.Error()
	case len(sockets) == 0:
		return "no socket that the kernel lists holds it"
	}
	return "held by " + sockets[0].String()
}

// echoed sends the message to an echo server and compares what comes back.
func echoed(ctx context.Context, kind sock.Kind, at netip.AddrPort) error {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, kind.String(), at.String())
	if err != nil {
		return err
	}
	defer conn.Close()
	if tcp, ok := conn.(*net.TCPConn); ok {
		// Closing in the ordinary way would keep a port in TIME_WAIT.
		if err := tcp.SetLinger(0); err != nil {
			return err
		}
	}
	deadline, _ := ctx.Deadline()
	if err := conn.SetDeadline(deadline); err != nil {
		return err
	}
	if _, err := conn.Write(message); err != nil {
		return err
	}
	received := make([]byte, len(message))
	if _, err := io.ReadFull(conn, received); err != nil {
		return err
	}
	if !bytes.Equal(received, message) {
		return fmt.Errorf("%d bytes came back changed", len(received))
	}
	return nil
}
