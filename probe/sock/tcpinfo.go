package sock

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"time"
)

// TCPInfo is what the kernel says of a TCP socket at one moment. On a listener
// only State, Unacked and Sacked say something; before a connection stands,
// most is 0.
//
// Which fields a kernel tells depends on its version: where one is said to
// belong to a TCPInfoPart, it is measured only if Knows says so, and otherwise
// 0. All others are always told.
//
// Source: TCP_INFO in tcp(7); struct tcp_info in include/uapi/linux/tcp.h.
type TCPInfo struct {
	State      TCPState
	Congestion CongestionState
	Options    TCPOptions

	Retransmits uint8 // timeouts in a row without an acknowledgement; zero again after one
	Probes      uint8 // unanswered probes of a zero window, or keepalives, in a row
	Backoff     uint8 // how often RTO was doubled

	RTO    time.Duration // retransmission timeout in force
	ATO    time.Duration // delay of acknowledgements
	RTT    time.Duration // smoothed; 0 before the first sample
	RTTVar time.Duration // mean deviation of RTT
	MinRTT time.Duration // of late (net.ipv4.tcp_min_rtt_wlen); 0 before the first sample: TCPInfoQueue
	// ReceiveRTT is the receiver's estimate, 0 where it has none.
	ReceiveRTT time.Duration

	LastDataSent     time.Duration // since data was last sent
	LastDataReceived time.Duration // since data was last received
	LastACKReceived  time.Duration // since an acknowledgement was last received

	SendMSSBytes       uint32 // payload of the segments sent
	ReceiveMSSBytes    uint32 // payload of the segments received, estimated
	AdvertisedMSSBytes uint32 // told to the peer
	PathMTUBytes       uint32

	// Unacked counts segments sent and not yet acknowledged; on a listener it
	// is the number of connections that wait to be accepted.
	Unacked uint32
	// Sacked counts segments that the peer acknowledged selectively; on a
	// listener it is the backlog in force, after net.core.somaxconn.
	Sacked        uint32
	Lost          uint32 // segments held for lost
	Retransmitted uint32 // segments sent again and not yet acknowledged

	CongestionWindow uint32 // segments
	// SlowStartThreshold is in segments, InfiniteThreshold before a first loss.
	SlowStartThreshold uint32
	Reordering         uint32 // segments that may arrive out of order before they are held for lost

	NotSentBytes       uint32 // in the send queue, not sent yet: TCPInfoQueue
	ReceiveSpaceBytes  uint32 // read by the process in one RTT, by which the buffer is sized
	SendWindowBytes    uint32 // that the peer offers: TCPInfoWindow
	ReceiveWindowBytes uint32 // offered to the peer: TCPInfoReceiveWindow

	DeliveryBytesPerSecond uint64 // of late: TCPInfoRate
	DeliveryAppLimited     bool   // the process gave less than could be sent: TCPInfoRate

	TCPCounters
}

// TCPCounters are what TCP_INFO counts since the connection began. Those of 16
// and 32 bits start over when full: a difference is right as long as less than
// that came in between.
type TCPCounters struct {
	// Len is how many bytes the kernel told. In a difference it is the lesser.
	Len int

	Retransmissions uint32 // segments sent again

	// BytesAcked is what the peer acknowledged. A FIN counts as one, and so does
	// the SYN of the end that connected: TCPInfoBytes.
	BytesAcked    uint64
	BytesReceived uint64 // in order, a FIN counted as one: TCPInfoBytes

	SegmentsSent     uint32 // TCPInfoSegments
	SegmentsReceived uint32 // TCPInfoSegments

	DataSegmentsSent     uint32 // that carried payload: TCPInfoQueue
	DataSegmentsReceived uint32 // that carried payload: TCPInfoQueue

	// Busy is the time in which data was in flight or waited, of which the
	// peer's window was full (WindowLimited) or the send buffer too small
	// (BufferLimited). They move in steps of some milliseconds: TCPInfoLimits.
	Busy, WindowLimited, BufferLimited time.Duration

	Delivered   uint32 // segments that reached the peer: TCPInfoDelivered
	DeliveredCE uint32 // of these, with a mark of congestion: TCPInfoDelivered

	BytesSent          uint64 // payload, with what was sent again: TCPInfoSent
	BytesRetransmitted uint64 // payload: TCPInfoSent
	DuplicatesReported uint32 // segments the peer had twice (DSACK): TCPInfoSent
	Reorderings        uint32 // times segments were seen out of order: TCPInfoSent

	OutOfOrder uint32 // segments received out of order: TCPInfoWindow

	Timeouts          uint16        // retransmission timeouts, of the SYN too: TCPInfoTimeouts
	TimeoutRecoveries uint16        // stretches that began with one: TCPInfoTimeouts
	TimeoutTime       time.Duration // spent in these: TCPInfoTimeouts
}

// InfiniteThreshold is the slow start threshold of a connection that has none.
const InfiniteThreshold = math.MaxInt32

// TCPInfoPart is a part of TCPInfo that a kernel tells or not. Its value is
// the least length of what it tells.
type TCPInfoPart int

const (
	TCPInfoBytes         TCPInfoPart = 136 // from Linux 4.1
	TCPInfoSegments      TCPInfoPart = 144 // from Linux 4.2
	TCPInfoQueue         TCPInfoPart = 160 // from Linux 4.6
	TCPInfoRate          TCPInfoPart = 168 // from Linux 4.9
	TCPInfoLimits        TCPInfoPart = 192 // from Linux 4.10
	TCPInfoDelivered     TCPInfoPart = 200 // from Linux 4.18
	TCPInfoSent          TCPInfoPart = 224 // from Linux 4.19
	TCPInfoWindow        TCPInfoPart = 232 // from Linux 5.4
	TCPInfoReceiveWindow TCPInfoPart = 240 // from Linux 6.2
	TCPInfoTimeouts      TCPInfoPart = 248 // from Linux 6.7
)

// Knows says whether the kernel told a part.
func (c TCPCounters) Knows(part TCPInfoPart) bool { return c.Len >= int(part) }

// Sub returns what was counted since an earlier look at the same connection.
func (i TCPInfo) Sub(earlier TCPInfo) TCPCounters {
	now, was := i.TCPCounters, earlier.TCPCounters
	return TCPCounters{
		Len:                  min(now.Len, was.Len),
		Retransmissions:      now.Retransmissions - was.Retransmissions,
		BytesAcked:           now.BytesAcked - was.BytesAcked,
		BytesReceived:        now.BytesReceived - was.BytesReceived,
		SegmentsSent:         now.SegmentsSent - was.SegmentsSent,
		SegmentsReceived:     now.SegmentsReceived - was.SegmentsReceived,
		DataSegmentsSent:     now.DataSegmentsSent - was.DataSegmentsSent,
		DataSegmentsReceived: now.DataSegmentsReceived - was.DataSegmentsReceived,
		Busy:                 now.Busy - was.Busy,
		WindowLimited:        now.WindowLimited - was.WindowLimited,
		BufferLimited:        now.BufferLimited - was.BufferLimited,
		Delivered:            now.Delivered - was.Delivered,
		DeliveredCE:          now.DeliveredCE - was.DeliveredCE,
		BytesSent:            now.BytesSent - was.BytesSent,
		BytesRetransmitted:   now.BytesRetransmitted - was.BytesRetransmitted,
		DuplicatesReported:   now.DuplicatesReported - was.DuplicatesReported,
		Reorderings:          now.Reorderings - was.Reorderings,
		OutOfOrder:           now.OutOfOrder - was.OutOfOrder,
		Timeouts:             now.Timeouts - was.Timeouts,
		TimeoutRecoveries:    now.TimeoutRecoveries - was.TimeoutRecoveries,
		TimeoutTime:          now.TimeoutTime - was.TimeoutTime,
	}
}

// String lists what is not zero, such as "bytes_acked 4097, segs_out 3", by the
// kernel's names.
func (c TCPCounters) String() string {
	return listed([]named{
		{"total_retrans", c.Retransmissions},
		{"bytes_acked", c.BytesAcked},
		{"bytes_received", c.BytesReceived},
		{"segs_out", c.SegmentsSent},
		{"segs_in", c.SegmentsReceived},
		{"data_segs_out", c.DataSegmentsSent},
		{"data_segs_in", c.DataSegmentsReceived},
		{"busy_time", c.Busy},
		{"rwnd_limited", c.WindowLimited},
		{"sndbuf_limited", c.BufferLimited},
		{"delivered", c.Delivered},
		{"delivered_ce", c.DeliveredCE},
		{"bytes_sent", c.BytesSent},
		{"bytes_retrans", c.BytesRetransmitted},
		{"dsack_dups", c.DuplicatesReported},
		{"reord_seen", c.Reorderings},
		{"rcv_ooopack", c.OutOfOrder},
		{"total_rto", c.Timeouts},
		{"total_rto_recoveries", c.TimeoutRecoveries},
		{"total_rto_time", c.TimeoutTime},
	})
}

// String gives the state and lists what is not zero, such as "ESTABLISHED,
// rtt 31µs, snd_cwnd 10", by the kernel's names. The three times since
// something happened are left out: they always move.
func (i TCPInfo) String() string {
	text := i.State.String()
	more := listed([]named{
		{"ca_state", i.Congestion},
		{"options", i.Options.String()},
		{"retransmits", i.Retransmits},
		{"probes", i.Probes},
		{"backoff", i.Backoff},
		{"rto", i.RTO},
		{"ato", i.ATO},
		{"rtt", i.RTT},
		{"rttvar", i.RTTVar},
		{"min_rtt", i.MinRTT},
		{"rcv_rtt", i.ReceiveRTT},
		{"snd_mss", i.SendMSSBytes},
		{"rcv_mss", i.ReceiveMSSBytes},
		{"advmss", i.AdvertisedMSSBytes},
		{"pmtu", i.PathMTUBytes},
		{"unacked", i.Unacked},
		{"sacked", i.Sacked},
		{"lost", i.Lost},
		{"retrans", i.Retransmitted},
		{"snd_cwnd", i.CongestionWindow},
		{"snd_ssthresh", i.SlowStartThreshold},
		{"reordering", i.Reordering},
		{"notsent_bytes", i.NotSentBytes},
		{"rcv_space", i.ReceiveSpaceBytes},
		{"snd_wnd", i.SendWindowBytes},
		{"rcv_wnd", i.ReceiveWindowBytes},
		{"delivery_rate", i.DeliveryBytesPerSecond},
	})
	for _, part := range []string{more, i.TCPCounters.String()} {
		if part != "" {
			text += ", " + part
		}
	}
	return text
}

type named struct {
	name  string
	value any
}

// listed leaves out the zero of each value's type.
func listed(values []named) string {
	var list []string
	for _, v := range values {
		if !reflect.ValueOf(v.value).IsZero() {
			list = append(list, fmt.Sprintf("%s %v", v.name, v.value))
		}
	}
	return strings.Join(list, ", ")
}

// TCPOptions are what both ends agreed on, and what became of it.
type TCPOptions struct {
	Timestamps  bool // RFC 7323
	SACK        bool // RFC 2018
	WindowScale bool // RFC 7323
	ECN         bool // RFC 3168
	ECNSeen     bool // a segment arrived that may be marked
	SYNData     bool // data in a SYN was acknowledged (RFC 7413)
	// SendShift scales the windows that the peer offers, ReceiveShift those
	// offered to it; they count where WindowScale is set.
	SendShift, ReceiveShift uint8
}

// CongestionState is what the sender makes of losses (enum tcp_ca_state in
// include/uapi/linux/tcp.h).
type CongestionState uint8

const (
	CongestionOpen     CongestionState = iota // nothing is amiss
	CongestionDisorder                        // first signs of loss or reordering
	CongestionReduced                         // the window shrinks after an ECN mark or a local drop
	CongestionRecovery                        // lost segments are sent again without a timeout
	CongestionLoss                            // after a retransmission timeout
)

func (s CongestionState) String() string {
	names := [...]string{
		CongestionOpen: "open", CongestionDisorder: "disorder", CongestionReduced: "cwr",
		CongestionRecovery: "recovery", CongestionLoss: "loss",
	}
	if int(s) >= len(names) {
		return fmt.Sprintf("congestion state %d", uint8(s))
	}
	return names[s]
}

// String lists what was agreed on, such as "ts sack wscale:10,7", after ss(8).
func (o TCPOptions) String() string {
	var set []string
	for _, option := range []struct {
		is   bool
		name string
	}{
		{o.Timestamps, "ts"},
		{o.SACK, "sack"},
		{o.WindowScale, fmt.Sprintf("wscale:%d,%d", o.SendShift, o.ReceiveShift)},
		{o.ECN, "ecn"},
		{o.ECNSeen, "ecnseen"},
		{o.SYNData, "fastopen"},
	} {
		if option.is {
			set = append(set, option.name)
		}
	}
	return strings.Join(set, " ")
}
