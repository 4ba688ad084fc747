package sock

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// connected is what Linux 6.18 told of a connection over lo on which nothing
// had been sent yet: 280 bytes, of which those beyond 248 are not read.
const connected = "" +
	"010000000007aa01e01c030000000000e57f000018020000000000000000000000000000000000000000000000000000" +
	"000000000000000000000000ffff0000d7ff00002700000013000000ffffff7f0a000000cbff00001600000000000000" +
	"d7ff0000000000009c4e099605000000ffffffffffffffff010000000000000000000000000000000200000001000000" +
	"000000002700000000000000000000000000000000000000000000000000000000000000000000000000000000000000" +
	"010000000000000000000000000000000000000000000000000000000000000000000000cbff00000000010000000000" +
	"00000000000000000000000000000000000000000000000000000000000000000000000000000000"

func bytesOf(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestTCPInfoOfAConnection(t *testing.T) {
	g := NewWithT(t)
	b := bytesOf(t, connected)
	g.Expect(b).To(HaveLen(280))
	info, err := decodeTCPInfo(b, binary.LittleEndian)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info).To(Equal(TCPInfo{
		State:              Established,
		Options:            TCPOptions{Timestamps: true, SACK: true, WindowScale: true, SendShift: 10, ReceiveShift: 10},
		RTO:                204 * time.Millisecond,
		RTT:                39 * time.Microsecond,
		RTTVar:             19 * time.Microsecond,
		MinRTT:             39 * time.Microsecond,
		SendMSSBytes:       32741,
		ReceiveMSSBytes:    536,
		AdvertisedMSSBytes: 65483,
		PathMTUBytes:       65535,
		CongestionWindow:   10,
		SlowStartThreshold: InfiniteThreshold,
		Reordering:         22,
		ReceiveSpaceBytes:  65495,
		SendWindowBytes:    65483,
		ReceiveWindowBytes: 65536,
		DeliveryAppLimited: true,
		TCPCounters: TCPCounters{
			Len: 280, BytesAcked: 1, SegmentsSent: 2, SegmentsReceived: 1, Delivered: 1,
		},
	}))
	g.Expect(info.String()).To(Equal("ESTABLISHED, options ts sack wscale:10,10, rto 204ms, rtt 39µs, rttvar 19µs, " +
		"min_rtt 39µs, snd_mss 32741, rcv_mss 536, advmss 65483, pmtu 65535, snd_cwnd 10, snd_ssthresh 2147483647, " +
		"reordering 22, rcv_space 65495, snd_wnd 65483, rcv_wnd 65536, bytes_acked 1, segs_out 2, segs_in 1, delivered 1"))
}

// The lengths are those of struct tcp_info in the named kernels.
func TestTCPInfoOfOlderKernels(t *testing.T) {
	parts := []TCPInfoPart{
		TCPInfoBytes, TCPInfoSegments, TCPInfoQueue, TCPInfoRate, TCPInfoLimits, TCPInfoDelivered,
		TCPInfoSent, TCPInfoWindow, TCPInfoReceiveWindow, TCPInfoTimeouts,
	}
	// Bytes that are all set make every field of a known part show.
	set := slices.Repeat([]byte{0xff}, 300)
	for _, c := range []struct {
		kernel string
		length int
		known  int // of the parts above
	}{
		{"3.10", 104, 0},
		{"3.16", 120, 0},
		{"4.1, cut short", 135, 0},
		{"4.1", 136, 1},
		{"4.4", 144, 2},
		{"4.9", 168, 4},
		{"4.14", 192, 5},
		{"4.18", 200, 6},
		{"4.19", 224, 7},
		{"5.10", 232, 8},
		{"6.6", 240, 9},
		{"6.12", 248, 10},
		{"6.18", 280, 10},
		{"one to come", 300, 10},
	} {
		t.Run(c.kernel, func(t *testing.T) {
			g := NewWithT(t)
			info, err := decodeTCPInfo(set[:c.length], binary.LittleEndian)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(info.Len).To(Equal(c.length))
			g.Expect(info.RTT).To(Equal(math.MaxUint32 * time.Microsecond))
			g.Expect(info.Retransmissions).To(Equal(uint32(math.MaxUint32)))
			var known, told []bool
			for _, part := range parts {
				known = append(known, info.Knows(part))
			}
			for _, fields := range [][]bool{
				{info.BytesAcked != 0, info.BytesReceived != 0},
				{info.SegmentsSent != 0, info.SegmentsReceived != 0},
				{info.NotSentBytes != 0, info.DataSegmentsSent != 0, info.DataSegmentsReceived != 0},
				{info.DeliveryBytesPerSecond != 0, info.DeliveryAppLimited},
				{info.Busy != 0, info.WindowLimited != 0, info.BufferLimited != 0},
				{info.Delivered != 0, info.DeliveredCE != 0},
				{info.BytesSent != 0, info.BytesRetransmitted != 0, info.DuplicatesReported != 0, info.Reorderings != 0},
				{info.OutOfOrder != 0, info.SendWindowBytes != 0},
				{info.ReceiveWindowBytes != 0},
				{info.Timeouts != 0, info.TimeoutRecoveries != 0, info.TimeoutTime != 0},
			} {
				g.Expect(slices.Compact(fields)).To(HaveLen(1), "a part is told as a whole or not at all")
				told = append(told, fields[0])
			}
			want := append(slices.Repeat([]bool{true}, c.known), slices.Repeat([]bool{false}, len(parts)-c.known)...)
			g.Expect(known).To(Equal(want))
			g.Expect(told).To(Equal(want))
			g.Expect(info.MinRTT).To(BeZero(), "all bits set stand for no sample")
		})
	}
}

func TestTCPInfoOfABigEndianMachine(t *testing.T) {
	g := NewWithT(t)
	b := make([]byte, TCPInfoTimeouts)
	b[0], b[5] = byte(Established), optionWindowScale
	b[6], b[7] = 0xa7, 0x80
	binary.BigEndian.PutUint32(b[8:], 200_000)
	binary.BigEndian.PutUint64(b[120:], 1<<40+1)
	binary.BigEndian.PutUint16(b[240:], 3)
	info, err := decodeTCPInfo(b, binary.BigEndian)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info).To(Equal(TCPInfo{
		State:              Established,
		Options:            TCPOptions{WindowScale: true, SendShift: 10, ReceiveShift: 7},
		RTO:                200 * time.Millisecond,
		DeliveryAppLimited: true,
		TCPCounters:        TCPCounters{Len: 248, BytesAcked: 1<<40 + 1, Timeouts: 3},
	}))
}

func TestTCPInfoTooShort(t *testing.T) {
	_, err := decodeTCPInfo(make([]byte, tcpInfoLeast-1), binary.LittleEndian)
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring("103 bytes")))
}

func TestTCPOptionsAreNamed(t *testing.T) {
	g := NewWithT(t)
	b := make([]byte, tcpInfoLeast)
	b[5], b[6] = 0xff, 0x7a
	info, err := decodeTCPInfo(b, binary.LittleEndian)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info.Options.String()).To(Equal("ts sack wscale:10,7 ecn ecnseen fastopen"))
	g.Expect(TCPOptions{}.String()).To(BeEmpty())
}

func TestCongestionStatesAreNamed(t *testing.T) {
	g := NewWithT(t)
	g.Expect(CongestionLoss.String()).To(Equal("loss"))
	g.Expect(CongestionState(9).String()).To(Equal("congestion state 9"))
}

func TestTCPInfoSub(t *testing.T) {
	g := NewWithT(t)
	earlier := TCPInfo{RTT: 9, TCPCounters: TCPCounters{
		Len: 232, BytesAcked: 1, SegmentsSent: math.MaxUint32, Timeouts: math.MaxUint16, Busy: time.Second,
	}}
	now := TCPInfo{RTT: 5, TCPCounters: TCPCounters{
		Len: 248, BytesAcked: 101, SegmentsSent: 1, Timeouts: 1, Busy: 3 * time.Second, TimeoutTime: time.Millisecond,
	}}
	moved := now.Sub(earlier)
	g.Expect(moved).To(Equal(TCPCounters{
		Len: 232, BytesAcked: 100, SegmentsSent: 2, Timeouts: 2, Busy: 2 * time.Second, TimeoutTime: time.Millisecond,
	}))
	g.Expect(moved.Knows(TCPInfoWindow)).To(BeTrue())
	g.Expect(moved.Knows(TCPInfoTimeouts)).To(BeFalse(), "the earlier look did not tell them")
	g.Expect(moved.String()).To(Equal("bytes_acked 100, segs_out 2, busy_time 2s, total_rto 2, total_rto_time 1ms"))
}

func FuzzTCPInfo(f *testing.F) {
	b := bytesOf(f, connected)
	for _, length := range []int{0, 103, 104, 136, 192, 224, 232, 248, 280} {
		f.Add(b[:length], false)
	}
	f.Add(slices.Repeat([]byte{0xff}, 300), true)
	f.Fuzz(func(t *testing.T, b []byte, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		info, err := decodeTCPInfo(b, order)
		if err != nil {
			if len(b) >= tcpInfoLeast {
				t.Errorf("%d bytes: %v", len(b), err)
			}
			return
		}
		if info.RTO < 0 || info.Busy < 0 || info.WindowLimited < 0 || info.BufferLimited < 0 || info.TimeoutTime < 0 {
			t.Errorf("a time below zero: %+v", info)
		}
		if info.Options.SendShift > 15 || info.Options.ReceiveShift > 15 {
			t.Errorf("a shift of more than four bits: %+v", info.Options)
		}
		if moved := info.Sub(info); moved != (TCPCounters{Len: len(b)}) {
			t.Errorf("a look less itself is %v, want nothing", moved)
		}
		if !info.Knows(TCPInfoQueue) && (info.MinRTT != 0 || info.NotSentBytes != 0) {
			t.Errorf("what was not told is not zero: %v", info)
		}
	})
}
