package tcp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/echo"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// held connections are open at the same time.
	held = 1000
	// heldMessage is what each says, in bytes. A read returns it whole.
	heldMessage = 64

	flows       = 64
	largestFlow = 1 << 20
	// flowBuffer is small because each flow has several.
	flowBuffer = 16 << 10

	// spareDescriptors are left for what the runtime and the harness open.
	spareDescriptors = 32
)

// needDescriptors skips the spec where that many more cannot be opened. Both
// ends of a connection are in this process and take one each.
func needDescriptors(count int) {
	GinkgoHelper()
	// Where they cannot be counted, opening them tells.
	if free, err := sock.FreeDescriptors(); err == nil && free < count+spareDescriptors {
		spec.Skip(check.OpenFiles, fmt.Sprintf("%d may be opened, %d are needed", free, count+spareDescriptors))
	}
}

var _ = suite.It("holds 1,000 connections open at once and drops none", check.Check{
	ID: "TCP-029", Grade: check.GradeFail,
	Source: "RFC 9293 3.1",
	Needs:  []check.Need{check.OpenFiles, ephemeralPorts},
	Asks:   "Opens 1,000 connections from 127.0.0.1 to one echo server, keeps them all, and has each send 64 bytes of its own: once when it is opened and once more when all are. Each must read back its own bytes.",
	Why:    "A proxy, a database pool or a load test on one machine needs this many. A limit on ports, descriptors, memory or tracked connections shows here first, and in production as connections that fail only under load.",
	Causes: []string{
		"the ephemeral ports are used up: every connection to one server port takes a port of its own",
		"a firewall limits connections (connlimit, `ct count`, `limit rate`) on loopback too",
		"the table of tracked connections is full (`dmesg` says: nf_conntrack: table full, dropping packet)",
		"net.ipv4.tcp_mem is low, or a container's memory limit near",
	},
	Remedies: []string{
		"see who holds ports with `ss -tan`, and if `sysctl net.ipv4.ip_local_port_range` shows a narrower range: `sysctl -w net.ipv4.ip_local_port_range='32768 60999'`",
		"let loopback pass without tracking: `nft add table inet loopback`, `nft add chain inet loopback output '{ type filter hook output priority raw; }'`, `nft add rule inet loopback output oifname lo notrack`",
		"if `sysctl net.netfilter.nf_conntrack_max` is below 262144: `sysctl -w net.netfilter.nf_conntrack_max=262144`",
		"compare `cat /proc/net/sockstat` with `sysctl net.ipv4.tcp_mem`",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, transferPatience)
	needPorts(held)
	needDescriptors(2 * held)
	server, err := echo.TCP(deadline, sock.IPv4.Loopback(0).Addr())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(server.Close)
	flowsToFreePort()

	seed := uint64(GinkgoRandomSeed())
	start := time.Now()
	opened, err := hold(deadline, server.Addr(), seed, held)
	if errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) {
		spec.Skip(check.OpenFiles, err.Error())
	}
	spec.Measure("connections", float64(opened))
	spec.Measure("held_ns", float64(time.Since(start)))
	spec.Evidence("connections", "%d of %d were open at once, seed %d", opened, held, seed)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "%d connections to %v at once", held, server.Addr())
})

// hold opens that many connections to an echo server, has each echo when it is
// opened and again when all are, and says how many it could open. The server
// has to end with the context, or else the context to have a deadline.
func hold(ctx context.Context, to netip.AddrPort, seed uint64, count int) (opened int, err error) {
	conns := make([]net.Conn, 0, count)
	defer func() {
		for _, conn := range conns {
			// A thousand ports in TIME_WAIT would be missed by the next run.
			_ = conn.(*net.TCPConn).SetLinger(0)
			_ = conn.Close()
		}
	}()
	deadline, _ := ctx.Deadline()
	var dialer net.Dialer
	for i := range count {
		conn, err := dialer.DialContext(ctx, "tcp", to.String())
		if errors.Is(err, syscall.EADDRNOTAVAIL) {
			return i, fmt.Errorf("connection %d of %d: no ephemeral port is left to reach %s from: %w", i+1, count, to, err)
		}
		if err != nil {
			return i, fmt.Errorf("connection %d of %d: %w", i+1, count, err)
		}
		conns = append(conns, conn)
		if err := conn.SetDeadline(deadline); err != nil {
			return i, fmt.Errorf("connection %d of %d: %w", i+1, count, err)
		}
		// The echo shows that it was accepted, so the queue never fills.
		words := message(seed, i)
		if err := errors.Join(say(conn, words), hear(conn, words)); err != nil {
			return i + 1, fmt.Errorf("connection %d of %d, when it was opened: %w", i+1, count, err)
		}
	}
	for i, conn := range conns {
		if err := say(conn, message(seed, count+i)); err != nil {
			return count, fmt.Errorf("connection %d of %d, when all were open: %w", i+1, count, err)
		}
	}
	for i, conn := range conns {
		if err := hear(conn, message(seed, count+i)); err != nil {
			return count, fmt.Errorf("connection %d of %d, when all were open: %w", i+1, count, err)
		}
	}
	return count, nil
}

func message(seed uint64, stream int) []byte {
	words := make([]byte, heldMessage)
	// The generator never ends and never fails.
	_, _ = io.ReadFull(pattern(seed, stream), words)
	return words
}

func say(conn net.Conn, words []byte) error {
	if _, err := conn.Write(words); err != nil {
		return fmt.Errorf("send %d bytes: %w", len(words), err)
	}
	return nil
}

func hear(conn net.Conn, words []byte) error {
	heard := make([]byte, len(words))
	if n, err := io.ReadFull(conn, heard); err != nil {
		return fmt.Errorf("read the echo, %d bytes of %d: %w", n, len(words), err)
	}
	if !bytes.Equal(heard, words) {
		return fmt.Errorf("the echo is %x and should be %x", heard, words)
	}
	return nil
}

var _ = suite.It("echoes 64 flows of random sizes at once, every byte right", check.Check{
	ID: "TCP-030", Grade: check.GradeFail,
	Source: "RFC 9293 3.1 (reliable, in-order byte stream)",
	Needs:  []check.Need{check.OpenFiles},
	Asks:   "Sends 64 flows of 1 B to 1 MiB at the same time over 127.0.0.1, each with bytes of its own. The server compares every byte it receives, sends it back, and the client compares it again; then each flow has to end at the byte it should.",
	Why:    "TCP's promise is that what arrives is what was sent. A fault in an offload, a driver, a hypervisor or a program that rewrites packets shows as data that is quietly wrong.",
	Causes: []string{
		"a firewall rule, eBPF program or proxy rewrites payload on loopback",
		"a kernel fault in splicing, offload or a congestion control module",
		"faulty memory",
	},
	Remedies: []string{
		"look for who touches the packets: `nft list ruleset`, `bpftool net`, `tc filter show dev lo ingress`",
		"try without offloads: `ethtool -K lo tso off gso off gro off`",
		"test the memory, and look for machine checks with `journalctl -k | grep -i mce`",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, transferPatience)
	needDescriptors(2 * flows)
	seed := uint64(GinkgoRandomSeed())
	listener := listenConn()
	total := 0
	var all []*flow
	for i, size := range sizes(seed, flows, largestFlow) {
		client, server, err := dialAccepted(deadline, listener)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "flow %d of %d", i+1, flows)
		all = append(all, &flow{client: client, server: server, seed: seed, stream: i, size: int64(size)})
		total += size
	}
	spec.Evidence("flows", "%d flows of 1 to %d bytes, %d bytes in all, seed %d", flows, largestFlow, total, seed)

	start := time.Now()
	group, running := errgroup.WithContext(deadline)
	for _, f := range all {
		f.run(running, group)
	}
	err := group.Wait()
	spec.Measure("echo_bytes", float64(total))
	spec.Measure("echo_ns", float64(time.Since(start)))
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "%d flows with the seed %d", flows, seed)
})

// flow is one connection that carries size bytes of its own pattern to the
// server and back.
type flow struct {
	client, server *net.TCPConn
	seed           uint64
	stream         int
	size           int64
}

// run starts the flow in the group. When the context ends, because another
// flow failed, this one does too.
func (f *flow) run(ctx context.Context, group *errgroup.Group) {
	context.AfterFunc(ctx, func() {
		_ = f.client.SetDeadline(time.Now())
		_ = f.server.SetDeadline(time.Now())
	})
	group.Go(func() error {
		_, err := io.CopyBuffer(plainWriter{f.client}, io.LimitReader(pattern(f.seed, f.stream), f.size), make([]byte, flowBuffer))
		return f.part("client sends", errors.Join(err, f.client.CloseWrite()))
	})
	group.Go(func() error {
		err := f.compare(f.server, f.server)
		return f.part("server echoes", errors.Join(err, f.server.CloseWrite()))
	})
	group.Go(func() error { return f.part("client receives", f.compare(f.client, io.Discard)) })
}

// compare reads to the end, checks each byte, and only then passes it on.
func (f *flow) compare(from io.Reader, to io.Writer) error {
	v := newVerifier(pattern(f.seed, f.stream))
	_, err := io.CopyBuffer(plainWriter{io.MultiWriter(v, to)}, plainReader{from}, make([]byte, flowBuffer))
	if err == nil && v.seen != f.size {
		err = fmt.Errorf("ended after %d bytes", v.seen)
	}
	return err
}

func (f *flow) part(what string, err error) error {
	if err != nil {
		return fmt.Errorf("flow %d of %d bytes, %s: %w", f.stream, f.size, what, err)
	}
	return nil
}

// plainReader and plainWriter hide what else a connection can do, so that a
// copy goes through the small buffer it is given.
type (
	plainReader struct{ io.Reader }
	plainWriter struct{ io.Writer }
)
