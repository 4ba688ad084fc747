package addressing

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// apart is what one port of 127.0.0.1 was in two network namespaces.
type apart struct {
	// Bind is of the port in the second, while the first has it.
	Bind syscall.Errno
	// Second is a connect in the second while both listen, and Strayed says
	// that it came to the first.
	Second  syscall.Errno
	Strayed bool
	// Alone is a connect in the second when only the first listens, and First
	// one in the first.
	Alone, First syscall.Errno
}

var _ = spec.Job(suite, "keeps 127.0.0.1 of each network namespace apart", check.Check{
	ID: "ADDR-022", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{check.Sandbox},
	Source: "network_namespaces(7) (isolation of port numbers, IP protocol stacks and network devices)",
	Asks:   "Listens on a port of 127.0.0.1 in one network namespace and on the same in another: both must be given it. A connection in the second must come to its own listener; when that is closed it must be refused, while the first still answers.",
	Why:    "Containers count on it both ways: each runs its server on the same port of localhost, and none reaches the database, the debugger or the admin page of another, or of the host. It is also why `localhost` in a container is not the host.",
	Causes: []string{
		"an eBPF program at sk_lookup or at the cgroup's connect hook that sends connections elsewhere",
		"a user-space stack (gVisor, WSL 1) that shares one lo",
	},
	Remedies: []string{
		"list the programs: `bpftool net`, `bpftool cgroup tree`",
		wireHostsKernel,
	},
}, listenTwice, func(_ SpecContext, seen apart) {
	spec.Evidence("second namespace", "bind: %s; connect: %s; with the listener closed: %s", loErrno(seen.Bind), loErrno(seen.Second), loErrno(seen.Alone))
	differs := seen.differences()
	Expect(len(differs) == 0).To(BeTrueBecause("%s", strings.Join(differs, "; ")))
})

func (seen apart) differences() (list []string) {
	expect := func(what string, got, want syscall.Errno) {
		if got != want {
			list = append(list, fmt.Sprintf("%s: %s, and not %s", what, loErrno(got), loErrno(want)))
		}
	}
	expect("bind in the second namespace of the port that the first has", seen.Bind, 0)
	expect("connect in the second namespace", seen.Second, 0)
	if seen.Strayed {
		list = append(list, "a connection in the second namespace came to the listener of the first")
	}
	expect("connect in the second namespace where only the first listens", seen.Alone, syscall.ECONNREFUSED)
	expect("connect in the first namespace", seen.First, 0)
	return list
}

func listenTwice(ctx context.Context, in *sandbox.Inside) (seen apart, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	first, err := listenAt(sock.IPv4.Loopback(wirePort))
	if err != nil {
		return seen, err
	}
	defer first.Close()
	err = in.Apart(func() error {
		if err := iface.Raise("lo"); err != nil {
			return err
		}
		return seen.listenAgain(ctx, first)
	})
	if err != nil {
		return seen, err
	}
	seen.First, err = connectOnce(ctx)
	return seen, err
}

// listenAgain runs in the second namespace.
func (seen *apart) listenAgain(ctx context.Context, first *sock.Socket) error {
	second, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return err
	}
	defer second.Close()
	if seen.Bind, err = errnoOf(second.Bind(sock.IPv4.Loopback(wirePort))); seen.Bind != 0 || err != nil {
		return err
	}
	if err := second.Listen(8); err != nil {
		return err
	}
	if seen.Second, err = connectOnce(ctx); err != nil {
		return err
	}
	if seen.Second == 0 {
		if err := seen.whose(ctx, first, second); err != nil {
			return err
		}
	}
	if err := second.Close(); err != nil {
		return err
	}
	seen.Alone, err = connectOnce(ctx)
	return err
}

// whose tells which listener a connection in the second namespace came to.
func (seen *apart) whose(ctx context.Context, first, second *sock.Socket) error {
	limit, cancel := context.WithTimeout(ctx, patience/2)
	defer cancel()
	server, err := second.Accept(limit)
	if err == nil {
		return server.Close()
	}
	reached, pollErr := eventsWithin(ctx, first, sock.Readable, loSilence)
	seen.Strayed = reached != 0
	if seen.Strayed {
		return nil
	}
	return errors.Join(err, pollErr)
}

// connectOnce connects to the port of the calling thread's 127.0.0.1.
func connectOnce(ctx context.Context) (syscall.Errno, error) {
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return 0, err
	}
	defer client.Close()
	return errnoOf(client.Connect(ctx, sock.IPv4.Loopback(wirePort)))
}
