package tcp

import (
	"context"
	"errors"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	userTimeout = time.Second
	// latestGivingUp is when a connection must have been given up by the
	// latest. The kernel looks at the limit when the retransmission timer
	// runs out, which it does for the third time about 1.4 s after sending.
	// The rest is for a machine whose processors are busy.
	latestGivingUp = 4 * time.Second
)

// givingUp is how a connection ended whose peer had gone silent.
type givingUp struct {
	Errno syscall.Errno
	After time.Duration // since the data was sent that nobody acknowledged
}

var _ = spec.PlainJob(suite, "gives up a connection whose peer is silent for longer than TCP_USER_TIMEOUT", check.Check{
	ID: "TCP-072", Grade: check.GradeFail, OS: "linux", Slow: true,
	Source: "RFC 5482 3.1; tcp(7), TCP_USER_TIMEOUT",
	Asks:   "Connects two sockets in a network namespace of its own and sets TCP_USER_TIMEOUT to 1,000 ms on one. The other then drops every segment before TCP sees it, as if unplugged. What is sent to it must end in ETIMEDOUT, not before a second has passed and within four.",
	Why:    "Without the option a sender keeps trying for about a quarter of an hour when its peer's machine has vanished. Databases, message brokers, gRPC and load balancers set it so that they fail over in seconds.",
	Causes: []string{
		"a kernel or user-space stack that ignores the option",
	},
	Remedies: []string{
		"try another kernel, and report it to whoever made this one",
		"until then, bound retransmissions for the whole machine with `sysctl -w net.ipv4.tcp_retries2=5`",
	},
}, awaitGivingUp, func(_ SpecContext, seen givingUp) {
	spec.Evidence("connection", "given up with %v, %v after data was sent that nobody acknowledged", seen.Errno, seen.After.Round(time.Millisecond))
	spec.Measure("given_up_after_ns", float64(seen.After))
	Expect(seen.Errno).To(Equal(syscall.ETIMEDOUT), "what ended the connection to a peer that is silent")
	Expect(seen.After).To(BeNumerically(">=", userTimeout-clsTick), "how long after sending the connection was given up")
})

// awaitGivingUp sends to a peer that has gone silent and waits for the
// connection's end.
func awaitGivingUp(ctx context.Context) (givingUp, error) {
	ctx, cancel := context.WithTimeout(ctx, latestGivingUp)
	defer cancel()
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return givingUp{}, err
	}
	defer client.Close()
	server, err := accepted(ctx, client)
	if err != nil {
		return givingUp{}, err
	}
	defer server.Close()
	if err := errors.Join(client.SetUserTimeout(userTimeout), server.IgnoreEverything()); err != nil {
		return givingUp{}, err
	}
	sent := time.Now()
	if _, err := client.Send(ctx, []byte("is anybody there"), 0); err != nil {
		return givingUp{}, err
	}
	if _, err := client.Poll(ctx, sock.Readable); err != nil {
		return givingUp{}, err
	}
	seen := givingUp{After: time.Since(sent)}
	err = client.PendingError()
	if err != nil && !errors.As(err, &seen.Errno) {
		return givingUp{}, err
	}
	return seen, nil
}
