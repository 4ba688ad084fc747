package spec

import (
	"context"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/counters"
)

// LetLoopbackPass is the remedy where a firewall takes away what the machine
// sends to itself. An accept ends only its own chain, so that every base chain
// needs one.
const LetLoopbackPass = "let loopback pass: for each base chain of the input and prerouting hooks that `nft list ruleset` shows, `nft insert rule FAMILY TABLE CHAIN iifname lo accept`, and for each of output the same with `oifname lo`"

// Within gives the rest of the spec that long.
func Within(ctx context.Context, limit time.Duration) context.Context {
	bounded, cancel := context.WithTimeout(ctx, limit)
	ginkgo.DeferCleanup(cancel)
	return bounded
}

// Snapshot reads the protocol counters of the spec's network namespace.
func Snapshot() counters.Snapshot {
	ginkgo.GinkgoHelper()
	s, err := counters.Read()
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return s
}
