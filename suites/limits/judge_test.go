package limits

import (
	"net/netip"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func TestWrongCountersOfLoAreTold(t *testing.T) {
	before := counters.Interface{RxPackets: 7, TxPackets: 7, RxBytes: 700, TxBytes: 700}
	const grown, bytes = 7 + loPackets, 700 + loPackets*loPacket
	for name, c := range map[string]struct {
		now  counters.Interface
		says string
	}{
		"right":        {counters.Interface{RxPackets: grown, TxPackets: grown, RxBytes: bytes, TxBytes: bytes}, ""},
		"others, too":  {counters.Interface{RxPackets: grown + 1, TxPackets: grown + 1, RxBytes: bytes + 9, TxBytes: bytes + 9}, ""},
		"one not sent": {counters.Interface{RxPackets: grown, TxPackets: grown - 1, RxBytes: bytes, TxBytes: bytes}, "lo has received 27 packets"},
		"bytes differ": {counters.Interface{RxPackets: grown, TxPackets: grown, RxBytes: bytes, TxBytes: bytes + 14}, "bytes, and sent"},
		"one missing":  {counters.Interface{RxPackets: grown - 1, TxPackets: grown - 1, RxBytes: bytes, TxBytes: bytes}, "lo counted 19 packets"},
		"short":        {counters.Interface{RxPackets: grown, TxPackets: grown, RxBytes: bytes - 1, TxBytes: bytes - 1}, "20559 bytes"},
	} {
		t.Run(name, func(t *testing.T) { says(t, judgeLo(before, c.now), c.says) })
	}
}

func TestLittleRoomForProcessesIsTold(t *testing.T) {
	g := NewWithT(t)
	limit := func(soft uint64) process.Limit { return process.Limit{Soft: soft, Hard: soft} }
	g.Expect(narrowRooms([]process.Room{
		{UID: 7, Limit: limit(100), Running: 36},
		{UID: 7, Limit: limit(100), Running: 37},
		{Group: "sys/fs/cgroup/a", Limit: limit(10), Running: 12},
	})).To(Equal([]string{
		"RLIMIT_NPROC of user 7 allows 100 processes and threads, of which 37 are taken",
		"/sys/fs/cgroup/a/pids.max allows 10 processes and threads, of which 12 are taken",
	}))
}

func TestCountingAtArrivalIsTold(t *testing.T) {
	says(t, readings{0, 0, unread}.judge(), "")
	says(t, readings{unread, unread, unread}.judge(), "while datagrams wait to be read")
	says(t, readings{0, 1, unread}.judge(), "after one was peeked at")
	says(t, readings{0, 0, unread + 1}.judge(), "grew by 6 and not 5 of 5 sent, after all were read")
}

func TestFragmentThatIsDroppedWronglyIsTold(t *testing.T) {
	right := loneFragment{Held: counters.Fragments{InUse: 1, MemBytes: 1032}, After: fragmentTime + time.Millisecond, Timeouts: 1, Fails: 1}
	says(t, right.judge(), "")
	early, late, silent, weightless := right, right, right, right
	early.After = fragmentTime / 2
	says(t, early.judge(), "dropped after 500ms already")
	late.Left.InUse = 1
	says(t, late.judge(), "is 1 still")
	silent.Timeouts = 0
	says(t, silent.judge(), "Ip ReasmTimeout grew by 0")
	weightless.Held.MemBytes = 0
	says(t, weightless.judge(), "memory of FRAG")
}

func TestFeaturesThatWereSwitchedOffAreTold(t *testing.T) {
	features := func(change func(map[string]iface.Feature)) map[string]iface.Feature {
		all := map[string]iface.Feature{}
		for _, f := range loFeatures {
			all[f.name] = iface.Feature{On: f.on, Fixed: f.fixed}
		}
		change(all)
		return all
	}
	for name, c := range map[string]struct {
		change func(map[string]iface.Feature)
		says   string
	}{
		"right":           {func(map[string]iface.Feature) {}, ""},
		"fixed as well":   {func(f map[string]iface.Feature) { f["rx-lro"] = iface.Feature{Fixed: true} }, ""},
		"TSO off":         {func(f map[string]iface.Feature) { f["tx-tcp-segmentation"] = iface.Feature{} }, "tx-tcp-segmentation is off and not on"},
		"LRO on":          {func(f map[string]iface.Feature) { f["rx-lro"] = iface.Feature{On: true} }, "rx-lro is on and not off"},
		"to be changed":   {func(f map[string]iface.Feature) { f["loopback"] = iface.Feature{On: true} }, "loopback is on and not on [fixed]"},
		"checksum is not": {func(f map[string]iface.Feature) { delete(f, "tx-checksum-ip-generic") }, "tx-checksum-ip-generic is not known"},
	} {
		t.Run(name, func(t *testing.T) { says(t, judgeFeatures(features(c.change)), c.says) })
	}
}

func TestListenerThatOneListLacksIsTold(t *testing.T) {
	listener := func(addr string, inode uint32) socktable.Socket {
		return socktable.Socket{Local: netip.MustParseAddrPort(addr), Inode: inode}
	}
	a, b, other := listener("127.0.0.1:80", 1), listener("[::1]:80", 2), listener("127.0.0.1:80", 3)
	list := func(sockets ...socktable.Socket) []socktable.Socket { return sockets }
	for name, c := range map[string]struct {
		files, diag []socktable.Socket
		own         string
		says        string
	}{
		"the same":       {list(a, b), list(b, a), "127.0.0.1:80", ""},
		"hidden in one":  {list(a), list(a, b), "127.0.0.1:80", "/proc/net/tcp and tcp6 lack [::1]:80 of user 0, inode 2"},
		"in the other":   {list(a, b), list(a), "127.0.0.1:80", "sock_diag lacks [::1]:80 of user 0, inode 2"},
		"another inode":  {list(a), list(other), "127.0.0.1:80", "sock_diag lacks 127.0.0.1:80 of user 0, inode 1"},
		"both lack ours": {list(a), list(a), "127.0.0.1:81", "127.0.0.1:81, our own"},
	} {
		t.Run(name, func(t *testing.T) {
			d := compareListeners(c.files, c.diag, []netip.AddrPort{netip.MustParseAddrPort(c.own)})
			says(t, d.and(d).err(), c.says)
			NewWithT(t).Expect(d.and(d).none()).To(Equal(c.says == ""))
		})
	}
	cameAndWent := compareListeners(list(a), list(a, b), nil).and(compareListeners(list(a, b), list(a, b), nil))
	NewWithT(t).Expect(cameAndWent.none()).To(BeTrue(), "what the second look did not find is no difference")
}

func TestFilesThatShouldBeOpened(t *testing.T) {
	g := NewWithT(t)
	defer ExpectConnections(0)
	for connections, files := range map[int]uint64{0: 1024, 10: 1024, 50000: 50000} {
		ExpectConnections(connections)
		g.Expect(wantedFiles()).To(Equal(files))
	}
	g.Expect(fileCount(process.Unlimited)).To(Equal("none"))
	g.Expect(fileCount(256)).To(Equal("256"))
}

// says expects an error that contains the text, or none where it is empty.
func says(t *testing.T, err error, text string) {
	t.Helper()
	if text == "" {
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		return
	}
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring(text)))
}
