package udp

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	datagrams = 2000
	largest   = 65507
)

var _ = suite.It("delivers 2,000 datagrams in order, none lost or doubled", check.Check{
	ID: "UDP-010", Grade: check.GradeWarn, OS: "linux",
	Source: "linux",
	Asks:   "Sends 2,000 datagrams of 0 to 65,507 bytes over 127.0.0.1, never more at a time than the receive buffer holds with room to spare. Each must arrive once, in order and unchanged.",
	Why:    "No standard promises it, but on loopback Linux keeps it, and metrics, logs and local RPC over UDP lean on it. A loss here comes from the machine itself: it will lose more under load.",
	Causes: []string{
		"a firewall limits, drops, duplicates or rewrites datagrams on lo",
		"a queueing discipline on lo polices or reorders (`tc qdisc show dev lo`; the default is noqueue)",
		"lo's MTU was lowered and fragments are lost",
		"net.ipv4.udp_mem is used up, by this or by other sockets",
	},
	Remedies: []string{
		"see where they went: `nstat -az UdpRcvbufErrors UdpInErrors UdpMemErrors IpInDiscards IpReasmFails`, `nft list ruleset`",
		"`tc qdisc del dev lo root` and `ip link set lo mtu 65536`",
		"compare the pages in use, `mem` of UDP in `cat /proc/net/sockstat`, with `sysctl net.ipv4.udp_mem`",
	},
}, func(ctx SpecContext) {
	load := spec.StartLoad()
	deadline := spec.Within(ctx, transferPatience)
	sender, receiver, to := halfPair(sock.IPv4)
	room, err := receiver.ReceiveBuffer()
	Expect(err).NotTo(HaveOccurred())
	seed := uint64(GinkgoRandomSeed())
	spec.Evidence("datagrams", "%d of 0 to %d bytes, seed %d, receive buffer %d bytes", datagrams, largest, seed, room)

	before := spec.Snapshot()
	start := time.Now()
	t := transfer{sender: sender, receiver: receiver, to: to, window: room / 4, lengths: lengths(seed, datagrams), seed: seed}
	arrived := 0
	err = spec.FromOneProcessor(func() (err error) {
		arrived, err = t.run(deadline)
		return err
	})
	spec.Measure("datagrams_arrived", float64(arrived))
	spec.Measure("transfer_ns", float64(time.Since(start)))
	if err != nil {
		moved := spec.Snapshot().Sub(before)
		spec.Evidence("counters meanwhile", "%s", moved)
		for _, name := range []string{"RcvbufErrors", "MemErrors", "InErrors"} {
			if n, err := moved.Get("Udp", name); err == nil {
				spec.Measure("udp_"+name, float64(n))
			}
		}
	}
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "%d of %d datagrams arrived as they should", arrived, datagrams)
})

// transfer is a run of datagrams from one socket to another.
type transfer struct {
	sender *sock.Socket
	// receiver is connected to the sender, which names the receiver with each
	// datagram, as servers do.
	receiver *sock.Socket
	to       netip.AddrPort
	// window bounds what is under way, in bytes as the kernel accounts for
	// them. One datagram may always be.
	window  int
	lengths []int
	seed    uint64
}

// run returns how many datagrams arrived as they should, and what was wrong
// with the next.
func (t transfer) run(ctx context.Context) (arrived int, err error) {
	buf := make([]byte, largest+1)
	underWay := 0
	for sent := 0; arrived < len(t.lengths); {
		for sent < len(t.lengths) && (sent == arrived || underWay+cost(t.lengths[sent]) <= t.window) {
			if _, err := t.sender.SendTo(ctx, contents(t.seed, sent, t.lengths[sent]), t.to, 0); err != nil {
				return arrived, fmt.Errorf("datagram %d: %w", sent, err)
			}
			underWay += cost(t.lengths[sent])
			sent++
		}
		n, err := t.receive(ctx, buf)
		if err != nil {
			return arrived, fmt.Errorf("datagram %d of %d bytes did not arrive: %w", arrived, t.lengths[arrived], err)
		}
		if err := t.compare(arrived, sent, buf[:n]); err != nil {
			return arrived, err
		}
		underWay -= cost(t.lengths[arrived])
		arrived++
	}
	return arrived, t.nothingFollows(ctx, buf)
}

func (t transfer) receive(ctx context.Context, buf []byte) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	return t.receiver.Recv(ctx, buf, 0)
}

// nothingFollows sends one datagram more, which no other resembles: were the
// last of the run doubled, its copy would be read before it.
func (t transfer) nothingFollows(ctx context.Context, buf []byte) error {
	last := len(t.lengths)
	end := contents(t.seed, last, endLength)
	if _, err := t.sender.SendTo(ctx, end, t.to, 0); err != nil {
		return fmt.Errorf("the datagram after the last: %w", err)
	}
	n, err := t.receive(ctx, buf)
	if err != nil {
		return fmt.Errorf("the datagram after the last did not arrive: %w", err)
	}
	if !bytes.Equal(buf[:n], end) {
		return fmt.Errorf("a datagram of %d bytes came after the last", n)
	}
	return nil
}

const endLength = 64

// compare says what came in the place of the expected datagram.
func (t transfer) compare(expected, sent int, got []byte) error {
	if bytes.Equal(got, contents(t.seed, expected, t.lengths[expected])) {
		return nil
	}
	if len(got) < sequenceLength {
		return fmt.Errorf("%d bytes, too few to tell whose, came in the place of datagram %d of %d bytes", len(got), expected, t.lengths[expected])
	}
	for i := range sent {
		if i == expected || t.lengths[i] != len(got) || !bytes.Equal(got, contents(t.seed, i, len(got))) {
			continue
		}
		if i < expected {
			return fmt.Errorf("datagram %d came a second time, in the place of datagram %d", i, expected)
		}
		return fmt.Errorf("datagram %d was lost or overtaken: datagram %d came in its place", expected, i)
	}
	return fmt.Errorf("%d bytes that were not sent so came in the place of datagram %d of %d bytes", len(got), expected, t.lengths[expected])
}

// cost bounds from above what a datagram takes of the receive buffer: its
// memory is rounded up to a power of two and its bookkeeping is added.
func cost(length int) int { return 2*length + 2048 }

// sequenceLength is what a datagram's number takes, in bytes. Shorter ones are
// told apart by their place alone.
const sequenceLength = 8

// contents is the payload of a datagram: its number, then bytes that no other
// has; of a short one, only bytes.
func contents(seed uint64, number, length int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:8], seed)
	binary.LittleEndian.PutUint64(key[8:16], uint64(number))
	payload := make([]byte, length)
	// The generator never ends and never fails.
	_, _ = io.ReadFull(rand.NewChaCha8(key), payload)
	if length >= sequenceLength {
		binary.BigEndian.PutUint64(payload, uint64(number))
	}
	return payload
}

// lengths returns n lengths from 0 to largest, uniform in the logarithm, with
// both ends several times among them.
func lengths(seed uint64, n int) []int {
	r := rand.New(rand.NewPCG(seed, 0))
	list := make([]int, n)
	for i := range list {
		switch i % 100 {
		case 0:
			list[i] = 0
		case 99:
			list[i] = largest
		default:
			list[i] = int(math.Exp(r.Float64()*math.Log(largest+1))) - 1
		}
	}
	return list
}
