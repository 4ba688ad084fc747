package addressing

import (
	"context"
	"errors"
	"net/netip"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const loWithoutIPv6 = "net.ipv6.conf.lo.disable_ipv6"

// withoutV6 is what became of a namespace whose lo has no IPv6.
type withoutV6 struct {
	// Before is what became of binding ::1 while the setting was 0, Bind and
	// Connect are what became of it afterwards.
	Before, Bind, Connect syscall.Errno
	// Client is an IPv4 client as the server on [::] sees it, and Own as it
	// sees itself.
	Client, Own netip.AddrPort
	// Served is why the client did not reach it, 0 where it did.
	Served syscall.Errno
}

var _ = spec.Job(suite, "takes ::1 away with disable_ipv6 of lo, and still serves IPv4 on [::]", check.Check{
	ID: "ADDR-007", Grade: check.GradeFail, OS: "linux",
	Source: "Documentation/networking/ip-sysctl.rst, disable_ipv6; bind(2), EADDRNOTAVAIL; RFC 3493 3.7",
	Needs:  []check.Need{check.Sandbox, check.OwnSettings},
	Asks:   "In a network namespace of its own, sets net.ipv6.conf.lo.disable_ipv6 to 0, with which ::1 must be bound, and then to 1. Binding ::1 must give EADDRNOTAVAIL. A socket of IPv6 that listens on [::] must still be reached from 127.0.0.1, as ::ffff:127.0.0.1.",
	Why:    "IPv6 is switched off so on many servers and in most containers. Programs that listen on [::] must run there unchanged, and those that ask for ::1 be told at once. Where sockets of IPv6 fail as well (ipv6.disable=1), Java, nginx and others that listen on [::] do not start.",
	Causes: []string{
		spec.OtherStack,
		"the kernel lacks IPv6 altogether, and not only addresses of it",
	},
	Remedies: []string{
		"switch IPv6 off by `sysctl -w net.ipv6.conf.all.disable_ipv6=1`, not by the kernel's parameter ipv6.disable=1",
		spec.OwnStack,
	},
}, serveWithoutIPv6, func(_ SpecContext, seen withoutV6) {
	Expect(seen.Before).To(Equal(syscall.Errno(0)), "bind to ::1, where %s is 0", loWithoutIPv6)
	Expect(seen.Bind).To(Equal(syscall.EADDRNOTAVAIL), "bind to ::1, where %s is 1", loWithoutIPv6)
	Expect(seen.Served).To(Equal(syscall.Errno(0)), "a connection from 127.0.0.1 to a listener on [::], where %s is 1", loWithoutIPv6)
	Expect(seen.Client).To(Equal(netip.AddrPortFrom(mapped, seen.Own.Port())), "how the listener on [::] sees its client %v, where %s is 1", seen.Own, loWithoutIPv6)
	spec.Evidence("::1", "bind: %s; connect: %s", seen.Bind, seen.Connect)
	spec.Evidence("[::]", "%v was served as %v", seen.Own, seen.Client)
})

// serveWithoutIPv6 takes IPv6 off lo and serves an IPv4 client on [::].
func serveWithoutIPv6(ctx context.Context, _ *sandbox.Inside) (seen withoutV6, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	bind := func(s *sock.Socket) error { return s.Bind(sock.IPv6.Loopback(0)) }
	// On a machine that has no ::1, a new namespace may have none, too.
	for _, step := range []struct {
		value string
		bind  *syscall.Errno
	}{{"0", &seen.Before}, {"1", &seen.Bind}} {
		err := sysctl.Set(loWithoutIPv6, step.value)
		if err != nil {
			return seen, err
		}
		if *step.bind, err = refusal(bind); err != nil {
			return seen, err
		}
	}
	if seen.Before != 0 {
		return seen, nil // there is nothing to take off
	}
	const discard = 9
	connect := func(s *sock.Socket) error { return s.StartConnect(sock.IPv6.Loopback(discard)) }
	if seen.Connect, err = refusal(connect); err != nil {
		return seen, err
	}
	return seen, seen.serve(ctx)
}

// refusal is how the kernel refused a call on a fresh TCP socket of IPv6, 0
// where it did not.
func refusal(call func(*sock.Socket) error) (errno syscall.Errno, err error) {
	s, err := sock.New(sock.TCP, sock.IPv6)
	if err != nil {
		return 0, err
	}
	defer s.Close()
	if err := call(s); err != nil && !errors.As(err, &errno) {
		return 0, err
	}
	return errno, nil
}

// serve has an IPv4 client connect to a listener on [::].
func (w *withoutV6) serve(ctx context.Context) error {
	listener, err := sock.New(sock.TCP, sock.IPv6)
	if err != nil {
		return err
	}
	defer listener.Close()
	err = errors.Join(listener.Set(sock.V6Only, 0), listener.Bind(netip.AddrPortFrom(netip.IPv6Unspecified(), 0)), listener.Listen(1))
	if err != nil {
		return err
	}
	at, err := listener.LocalAddr()
	if err != nil {
		return err
	}
	client, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := client.Connect(ctx, sock.IPv4.Loopback(at.Port())); err != nil {
		if errors.As(err, &w.Served) {
			return nil
		}
		return err
	}
	if w.Own, err = client.LocalAddr(); err != nil {
		return err
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		return err
	}
	defer server.Close()
	w.Client, err = server.PeerAddr()
	return err
}
