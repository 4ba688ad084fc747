package limits

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// exhaustion is what became of a connection that came while the process had no
// descriptor left.
type exhaustion struct {
	// Refused is what accept gave each time, 0 where it gave a socket.
	Refused []syscall.Errno
	// Queued is how many connections waited after that.
	Queued uint32
	// Words is what the client had sent, as it was read once there were
	// descriptors again.
	Words string
}

const (
	exhaustedTries = 2
	patientWords   = "I can wait"
)

var _ = suite.It("keeps a connection in the queue while accept fails with EMFILE", check.Check{
	ID: "LIM-001", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "accept(2), EMFILE; getrlimit(2), RLIMIT_NOFILE",
	Asks:   "In a process of its own, connects a client, lowers the limit of open files to what is open, and accepts twice: both must give EMFILE, and the connection wait in the queue. With the limit raised again, accept must give that connection, with what its client has sent.",
	Why:    "A server at its limit of open files falls behind and catches up when others have gone. Where such connections are lost, clients see resets; where accept gives another error, many servers end.",
	Causes: []string{
		spec.OtherStack,
		"a seccomp filter answers accept4 in the kernel's place",
	},
	Remedies: []string{
		spec.OwnStack,
		"raise the limit so that it is not met: `ulimit -n 65536`, or LimitNOFILE= in a systemd unit",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	box := spec.Sandbox(ctx, sandbox.Config{})
	seen, err := exhaust.Call(spec.Within(ctx, patience), box, "", struct{}{})
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred())
	Expect(seen.Refused).To(HaveLen(exhaustedTries))
	for _, errno := range seen.Refused {
		Expect(errno).To(Equal(syscall.EMFILE), "what accept gives while no more files may be opened")
	}
	Expect(seen.Queued).To(BeEquivalentTo(1), "connections in the queue after accept gave %s", syscall.EMFILE)
	Expect(seen.Words).To(Equal(patientWords), "what is read from the connection that waited")
	spec.Evidence("accept", "%s %d times; then the connection that had waited, with all its client had sent", syscall.EMFILE, len(seen.Refused))
})

var exhaust = sandbox.Register("limits/exhaust", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (seen exhaustion, err error) {
	listener, addr, err := listening(8, nil)
	if err != nil {
		return seen, err
	}
	defer listener.Close()
	client, err := connected(ctx, addr)
	if err != nil {
		return seen, err
	}
	defer client.Close()
	if _, err := client.Send(ctx, []byte(patientWords), 0); err != nil {
		return seen, err
	}
	if _, err := listener.Poll(ctx, sock.Readable); err != nil {
		return seen, fmt.Errorf("the connection in the queue: %w", err)
	}
	err = sock.WithoutDescriptors(func() error {
		for range exhaustedTries {
			server, err := listener.TryAccept()
			if err == nil {
				defer server.Close()
			}
			errno, err := errnoOf(err)
			if err != nil {
				return err
			}
			seen.Refused = append(seen.Refused, errno)
		}
		info, err := listener.TCPInfo()
		seen.Queued = info.Unacked
		return err
	})
	other := func(errno syscall.Errno) bool { return errno != syscall.EMFILE }
	if err != nil || seen.Queued == 0 || slices.ContainsFunc(seen.Refused, other) {
		return seen, err
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		return seen, fmt.Errorf("the connection that waited, with descriptors free again: %w", err)
	}
	defer server.Close()
	buf := make([]byte, len(patientWords)+1)
	n, err := server.Recv(ctx, buf, 0)
	seen.Words = string(buf[:n])
	return seen, err
})

// usualFiles is the soft limit that shells and systemd units begin with.
const usualFiles = 1024

// expected is how many connections the user expects of one process, 0 where
// they did not say.
var expected atomic.Int64

// ExpectConnections says how many connections at once the user expects of a
// process that is started as this one was; 0 for no more than usual. Call it
// before the checks run.
func ExpectConnections(count int) { expected.Store(int64(count)) }

// wantedFiles is how many files a process should be able to open.
func wantedFiles() uint64 { return max(usualFiles, uint64(expected.Load())) }

var aShell = check.Need{Name: "a shell", How: "run it where there is `sh`, which is asked for the limit that it inherits"}

var _ = suite.It("lets a process open 1,024 files, or as many as --expect-connections says", check.Check{
	ID: "LIM-015", Grade: check.GradeAdvice, OS: "linux",
	Source: "getrlimit(2), RLIMIT_NOFILE; systemd.exec(5), LimitNOFILE=",
	Asks:   "Reads the soft limit of open files that programs inherit which are started as loopcheck was. It must be 1,024 at least, and no less than `loopcheck run --expect-connections N` says.",
	Why:    "Each connection takes a descriptor, in a proxy two. At the limit accept fails with EMFILE: a server goes on with those that it has, and new clients wait in its queue until they give up, though the machine has plenty of room.",
	Causes: []string{
		"the soft limit of the shell, the systemd unit or the container is lower than the service needs; not every program raises it to the hard one, as Go's do",
		"limits.conf(5) or the container's runtime sets a low one",
	},
	Remedies: []string{
		"for a shell and what it starts: `ulimit -n 65536`",
		"for a systemd unit: LimitNOFILE=65536 below [Service], with `systemctl edit UNIT`",
		"for a container: `docker run --ulimit nofile=65536:65536 …`",
	},
}, func(ctx SpecContext) {
	limit, err := process.InheritedFiles(spec.Within(ctx, patience))
	if err != nil {
		spec.Skip(aShell, err.Error())
	}
	spec.Evidence("open files", "soft limit %s, hard limit %s", fileCount(limit.Soft), fileCount(limit.Hard))
	spec.Measure("soft_limit_of_files", float64(limit.Soft))
	Expect(limit.Soft).To(BeNumerically(">=", wantedFiles()), "files that a process may open which is started as this one was")
})

func fileCount(n uint64) string {
	if n == process.Unlimited {
		return "none"
	}
	return fmt.Sprint(n)
}
