// Package ping holds the checks of ICMP over loopback. pro-bing sends the
// pings; a probe of our own looks at what it does not show.
package ping

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	probing "github.com/prometheus-community/pro-bing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/icmp"
	"github.com/loopcheck/loopcheck/probe/sysctl"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuite("ping", "Ping: ICMP over loopback", 10)

var (
	v4Loopback = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	v6Loopback = netip.IPv6Loopback()
)

// replyTimeout is when a reply counts as lost. Loopback answers within
// microseconds; stalls of two seconds were seen on virtual machines.
const replyTimeout = 4 * time.Second

// access returns the kind of socket that pings to an address go through, or
// skips the spec where this process may open neither.
func access(to netip.Addr) icmp.Access {
	GinkgoHelper()
	allowed, err := icmp.Allowed(to)
	if err != nil {
		spec.Skip(check.PingSocket, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	spec.Evidence("socket", "%s", allowed)
	spec.Flow("icmp", netip.AddrPortFrom(to, 0))
	return allowed
}

// rootError is the reason alone: the addresses around it are the check's own.
func rootError(err error) string {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return err.Error()
}

// proBing pings with pro-bing and expects every reply.
func proBing(ctx context.Context, to netip.Addr, via icmp.Access, configure func(*probing.Pinger)) *probing.Statistics {
	GinkgoHelper()
	p := probing.New(to.String())
	p.SetPrivileged(via == icmp.Raw)
	p.SetLogger(probing.NoopLogger{})
	p.Timeout = replyTimeout
	configure(p)
	Expect(p.RunWithContext(ctx)).To(Succeed(), "pro-bing's echo requests to %v", to)
	return p.Statistics()
}

// expectEcho sends one echo request of our own and expects all of it back.
func expectEcho(ctx context.Context, to netip.Addr, via icmp.Access, size int) icmp.Reply {
	GinkgoHelper()
	req := icmp.Request{ID: randomUint16(), Seq: randomUint16(), Payload: randomBytes(size)}
	reply, err := echo(ctx, to, via, req)
	Expect(err).NotTo(HaveOccurred(), "echo request of %d bytes to %v", size, to)
	Expect(reply.ID).To(Equal(reply.SentID), "identifier of the reply from %v", to)
	Expect(reply.Seq).To(Equal(req.Seq), "sequence number of the reply from %v", to)
	Expect(bytes.Equal(reply.Payload, req.Payload)).To(
		BeTrueBecause("payload of the reply from %v: %s", to, firstDifference(req.Payload, reply.Payload)))
	return reply
}

// echoTries is how often a request is sent that stays without a reply. Loss is
// for PING-019 to see; here a reply may have found a receive buffer full of
// what others were sent, since a raw socket is given every reply of the machine.
const echoTries = 3

func echo(ctx context.Context, to netip.Addr, via icmp.Access, req icmp.Request) (reply icmp.Reply, err error) {
	for range echoTries {
		one, cancel := context.WithTimeout(ctx, replyTimeout/echoTries)
		reply, err = icmp.Echo(one, via, to, req)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			break
		}
	}
	return reply, err
}

func firstDifference(sent, got []byte) string {
	for i := range min(len(sent), len(got)) {
		if sent[i] != got[i] {
			return fmt.Sprintf("byte %d of %d was %#02x, sent as %#02x", i, len(sent), got[i], sent[i])
		}
	}
	if len(sent) != len(got) {
		return fmt.Sprintf("%d bytes came back of %d sent", len(got), len(sent))
	}
	return "as sent"
}

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails, says its documentation
	return b
}

// randomUint16 is for identifiers and sequence numbers: raw sockets of runs at
// the same time would take each other's replies if they chose the same.
func randomUint16() uint16 { return binary.BigEndian.Uint16(randomBytes(2)) }

// setting reads a number among the kernel's settings; without one it is what
// Linux defaults to.
func setting(name string, otherwise int) int {
	value, err := sysctl.Read(name)
	if err != nil {
		return otherwise
	}
	n, err := strconv.Atoi(value)
	if err != nil {
		return otherwise
	}
	return n
}

// isRefused tells a missing privilege from every other error.
func isRefused(err error) bool { return errors.Is(err, os.ErrPermission) }
