package sock

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

// tcpInfoLeast is what every kernel tells that Go runs on.
const tcpInfoLeast = 104

// Bits of tcpi_options.
const (
	optionTimestamps = 1 << iota
	optionSACK
	optionWindowScale
	optionECN
	optionECNSeen
	optionSYNData
)

// decodeTCPInfo takes struct tcp_info, however long, in the machine's order.
func decodeTCPInfo(b []byte, order binary.ByteOrder) (TCPInfo, error) {
	if len(b) < tcpInfoLeast {
		return TCPInfo{}, fmt.Errorf("%d bytes of TCP_INFO, want at least %d", len(b), tcpInfoLeast)
	}
	f := tcpInfoFields{wholeParts(b), order}
	info := TCPInfo{
		State:       TCPState(b[0]),
		Congestion:  CongestionState(b[1]),
		Retransmits: b[2],
		Probes:      b[3],
		Backoff:     b[4],
		Options:     f.options(),

		RTO:        f.micros32(8),
		ATO:        f.micros32(12),
		RTT:        f.micros32(68),
		RTTVar:     f.micros32(72),
		ReceiveRTT: f.micros32(92),

		LastDataSent:     f.millis(44),
		LastDataReceived: f.millis(52),
		LastACKReceived:  f.millis(56),

		SendMSSBytes:       f.u32(16),
		ReceiveMSSBytes:    f.u32(20),
		AdvertisedMSSBytes: f.u32(84),
		PathMTUBytes:       f.u32(60),

		Unacked:       f.u32(24),
		Sacked:        f.u32(28),
		Lost:          f.u32(32),
		Retransmitted: f.u32(36),

		CongestionWindow:   f.u32(80),
		SlowStartThreshold: f.u32(76),
		Reordering:         f.u32(88),

		NotSentBytes:       f.u32(144),
		ReceiveSpaceBytes:  f.u32(96),
		SendWindowBytes:    f.u32(228),
		ReceiveWindowBytes: f.u32(232),

		DeliveryBytesPerSecond: f.u64(160),

		TCPCounters: f.counters(),
	}
	info.Len = len(b)
	if f.u32(148) != math.MaxUint32 { // which stands for no sample yet
		info.MinRTT = f.micros32(148)
	}
	info.DeliveryAppLimited = info.Knows(TCPInfoRate) && f.bits(7, 0, 1) == 1
	return info, nil
}

// wholeParts cuts off what a kernel tells beyond the last part that is known
// here, or of a part that it tells in half.
func wholeParts(b []byte) []byte {
	whole := tcpInfoLeast
	for _, part := range []TCPInfoPart{
		TCPInfoBytes, TCPInfoSegments, TCPInfoQueue, TCPInfoRate, TCPInfoLimits, TCPInfoDelivered,
		TCPInfoSent, TCPInfoWindow, TCPInfoReceiveWindow, TCPInfoTimeouts,
	} {
		if int(part) <= len(b) {
			whole = int(part)
		}
	}
	return b[:whole]
}

// tcpInfoFields reads fields by their offset. One that is not there is 0.
type tcpInfoFields struct {
	b     []byte
	order binary.ByteOrder
}

func (f tcpInfoFields) counters() TCPCounters {
	return TCPCounters{
		Retransmissions: f.u32(100),

		BytesAcked:    f.u64(120),
		BytesReceived: f.u64(128),

		SegmentsSent:     f.u32(136),
		SegmentsReceived: f.u32(140),

		DataSegmentsSent:     f.u32(156),
		DataSegmentsReceived: f.u32(152),

		Busy:          f.micros64(168),
		WindowLimited: f.micros64(176),
		BufferLimited: f.micros64(184),

		Delivered:   f.u32(192),
		DeliveredCE: f.u32(196),

		BytesSent:          f.u64(200),
		BytesRetransmitted: f.u64(208),
		DuplicatesReported: f.u32(216),
		Reorderings:        f.u32(220),

		OutOfOrder: f.u32(224),

		Timeouts:          f.u16(240),
		TimeoutRecoveries: f.u16(242),
		TimeoutTime:       f.millis(244),
	}
}

func (f tcpInfoFields) options() TCPOptions {
	set := f.b[5]
	return TCPOptions{
		Timestamps:   set&optionTimestamps != 0,
		SACK:         set&optionSACK != 0,
		WindowScale:  set&optionWindowScale != 0,
		ECN:          set&optionECN != 0,
		ECNSeen:      set&optionECNSeen != 0,
		SYNData:      set&optionSYNData != 0,
		SendShift:    f.bits(6, 0, 4),
		ReceiveShift: f.bits(6, 4, 4),
	}
}

// bits reads a bit field of C, of which the first declared has the lowest bits
// on a little-endian machine and the highest on a big-endian one.
func (f tcpInfoFields) bits(offset, first, width int) uint8 {
	if f.order.Uint16([]byte{0, 1}) == 1 {
		first = 8 - first - width
	}
	return f.b[offset] >> first & (1<<width - 1)
}

func (f tcpInfoFields) u16(offset int) uint16 {
	if len(f.b) < offset+2 {
		return 0
	}
	return f.order.Uint16(f.b[offset:])
}

func (f tcpInfoFields) u32(offset int) uint32 {
	if len(f.b) < offset+4 {
		return 0
	}
	return f.order.Uint32(f.b[offset:])
}

func (f tcpInfoFields) u64(offset int) uint64 {
	if len(f.b) < offset+8 {
		return 0
	}
	return f.order.Uint64(f.b[offset:])
}

func (f tcpInfoFields) millis(offset int) time.Duration {
	return time.Duration(f.u32(offset)) * time.Millisecond
}

func (f tcpInfoFields) micros32(offset int) time.Duration {
	return time.Duration(f.u32(offset)) * time.Microsecond
}

// micros64 stops at the longest Duration, 292 years.
func (f tcpInfoFields) micros64(offset int) time.Duration {
	return time.Duration(min(f.u64(offset), math.MaxInt64/uint64(time.Microsecond))) * time.Microsecond
}
