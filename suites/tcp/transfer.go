package tcp

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	transferSize   = 16 << 20
	transferBuffer = 64 << 10
)

var _ = suite.It("carries 16 MiB unchanged", check.Check{
	ID: "TCP-031", Grade: check.GradeFail,
	Source: "RFC 9293 3.1 (reliable, in-order byte stream)",
	Asks:   "Sends 16 MiB of unpredictable bytes over one connection on 127.0.0.1, as a stream. Length and SHA-256 of what arrives must be those of what was sent.",
	Why:    "A backup, a replica or a download relies on it without looking. One wrong byte goes into the database; one missing segment that is never sent again stops the transfer.",
	Causes: []string{
		"a firewall rule, eBPF program or proxy rewrites or drops segments on loopback",
		"a kernel fault in offload or a congestion control module, or faulty memory",
	},
	Remedies: []string{
		"look for who touches the packets: `nft list ruleset`, `bpftool net`, `tc -s qdisc show dev lo`",
		"see whether segments are sent again: `nstat -az TcpRetransSegs TcpInErrs TcpExtTCPTimeouts`",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, transferPatience)
	client, server, err := dialAccepted(deadline, listenConn())
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred())
	seed := uint64(GinkgoRandomSeed())
	sent, received := sha256.New(), sha256.New()
	var arrived int64

	start := time.Now()
	var ends errgroup.Group
	ends.Go(func() error {
		source := io.TeeReader(io.LimitReader(pattern(seed, 0), transferSize), sent)
		n, err := io.CopyBuffer(plainWriter{client}, source, make([]byte, transferBuffer))
		if err = errors.Join(err, client.CloseWrite()); err != nil {
			return fmt.Errorf("send, after %d of %d bytes: %w", n, transferSize, err)
		}
		return nil
	})
	ends.Go(func() (err error) {
		arrived, err = io.CopyBuffer(received, plainReader{server}, make([]byte, transferBuffer))
		if err != nil {
			return fmt.Errorf("receive, after %d of %d bytes: %w", arrived, transferSize, err)
		}
		return nil
	})
	err = ends.Wait()
	spec.Measure("transfer_bytes", float64(arrived))
	spec.Measure("transfer_ns", float64(time.Since(start)))
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "%d bytes from %v to %v", transferSize, client.LocalAddr(), server.LocalAddr())
	Expect(arrived).To(BeEquivalentTo(transferSize), "bytes that arrived")
	got, want := fmt.Sprintf("%x", received.Sum(nil)), fmt.Sprintf("%x", sent.Sum(nil))
	spec.Evidence("SHA-256", "sent %s, received %s, seed %d", want, got, seed)
	Expect(got).To(Equal(want), "SHA-256 of what arrived")
})
