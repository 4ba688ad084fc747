package spec

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"github.com/onsi/ginkgo/v2"
	"github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

// What many checks name as a cause and as its remedy: the stack that answered is
// not the machine's own.
const (
	OtherStack = "a user-space stack or sandbox (gVisor, WSL 1, a proxy that is preloaded into the program) answers in the kernel's place"
	OwnStack   = "run it on the machine's own kernel, outside of the container (`docker run --runtime=runc …`), and report it to whoever made the stack in between"
)

// What checks of bind and connect name likewise.
const (
	GroupPrograms     = "an eBPF program at the cgroup's bind or connect hook rewrites the address or refuses the call"
	ListGroupPrograms = "list the programs at the hooks: `bpftool cgroup tree`"
)

// LetLoopbackPass is the remedy where a firewall takes away what the machine
// sends to itself. An accept ends only its own chain, so that every base chain
// needs one.
const LetLoopbackPass = "let loopback pass: for each base chain of the input and prerouting hooks that `nft list ruleset` shows, `nft insert rule FAMILY TABLE CHAIN iifname lo accept`, and for each of output the same with `oifname lo`"

const (
	// enoughWaits is how many checks may wait in vain, each as long as its
	// patience lets it, before the rest are given less: on a stack that drops
	// SYNs dozens would, and a run take minutes to say what it knew by then.
	enoughWaits = 5
	// hurried is what they are given. What works takes milliseconds.
	hurried = time.Second
	// inVain is how long a check that failed has to have taken to have waited.
	inVain = time.Second
)

// waitedInVain counts the checks that waited in vain.
var waitedInVain int

var _ = ginkgo.ReportAfterEach(func(report ginkgo.SpecReport) {
	if report.Failed() && report.RunTime >= inVain {
		waitedInVain++
	}
})

// Within gives the rest of the spec that long, or a second where many have
// waited in vain before.
func Within(ctx context.Context, limit time.Duration) context.Context {
	if waitedInVain >= enoughWaits {
		limit = min(limit, hurried)
	}
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

// Setting reads a setting of the kernel (sysctl(8)). It skips the spec where it
// cannot be seen, as where /proc/sys is hidden and in network namespaces of
// older kernels.
func Setting(name string) string {
	ginkgo.GinkgoHelper()
	text, err := sysctl.Read(name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		Skip(check.Need{Name: name, How: "run it outside of a container, or on a later Linux, where the setting can be read"}, err.Error())
	}
	gomega.Expect(err).NotTo(gomega.HaveOccurred())
	return text
}
