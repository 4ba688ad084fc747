package sock

import (
	"encoding/binary"
	"testing"
	"time"
	"unsafe"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// The offsets are compared with a struct that was made from the kernel's
// headers.
func TestTCPInfoLayout(t *testing.T) {
	g := NewWithT(t)
	raw := unix.TCPInfo{
		State: 1, Ca_state: 2, Retransmits: 3, Probes: 4, Backoff: 5, Options: 6,
		Rto: 8, Ato: 9, Snd_mss: 10, Rcv_mss: 11, Unacked: 12, Sacked: 13, Lost: 14, Retrans: 15, Fackets: 16,
		Last_data_sent: 17, Last_ack_sent: 18, Last_data_recv: 19, Last_ack_recv: 20,
		Pmtu: 21, Rcv_ssthresh: 22, Rtt: 23, Rttvar: 24, Snd_ssthresh: 25, Snd_cwnd: 26, Advmss: 27, Reordering: 28,
		Rcv_rtt: 29, Rcv_space: 30, Total_retrans: 31, Pacing_rate: 32, Max_pacing_rate: 33,
		Bytes_acked: 34, Bytes_received: 35, Segs_out: 36, Segs_in: 37, Notsent_bytes: 38, Min_rtt: 39,
		Data_segs_in: 40, Data_segs_out: 41, Delivery_rate: 42, Busy_time: 43, Rwnd_limited: 44, Sndbuf_limited: 45,
		Delivered: 46, Delivered_ce: 47, Bytes_sent: 48, Bytes_retrans: 49, Dsack_dups: 50, Reord_seen: 51,
		Rcv_ooopack: 52, Snd_wnd: 53, Rcv_wnd: 54, Rehash: 55,
		Total_rto: 56, Total_rto_recoveries: 57, Total_rto_time: 58,
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(&raw)), unsafe.Sizeof(raw))
	info, err := decodeTCPInfo(b, binary.NativeEndian)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(info).To(Equal(TCPInfo{
		State: 1, Congestion: 2, Retransmits: 3, Probes: 4, Backoff: 5,
		Options: TCPOptions{SACK: true, WindowScale: true},
		RTO:     8 * time.Microsecond, ATO: 9 * time.Microsecond,
		SendMSSBytes: 10, ReceiveMSSBytes: 11, Unacked: 12, Sacked: 13, Lost: 14, Retransmitted: 15,
		LastDataSent: 17 * time.Millisecond, LastDataReceived: 19 * time.Millisecond, LastACKReceived: 20 * time.Millisecond,
		PathMTUBytes: 21, RTT: 23 * time.Microsecond, RTTVar: 24 * time.Microsecond,
		SlowStartThreshold: 25, CongestionWindow: 26, AdvertisedMSSBytes: 27, Reordering: 28,
		ReceiveRTT: 29 * time.Microsecond, ReceiveSpaceBytes: 30,
		NotSentBytes: 38, MinRTT: 39 * time.Microsecond, DeliveryBytesPerSecond: 42,
		SendWindowBytes: 53, ReceiveWindowBytes: 54,
		TCPCounters: TCPCounters{
			Len: len(b), Retransmissions: 31, BytesAcked: 34, BytesReceived: 35,
			SegmentsSent: 36, SegmentsReceived: 37, DataSegmentsReceived: 40, DataSegmentsSent: 41,
			Busy: 43 * time.Microsecond, WindowLimited: 44 * time.Microsecond, BufferLimited: 45 * time.Microsecond,
			Delivered: 46, DeliveredCE: 47, BytesSent: 48, BytesRetransmitted: 49, DuplicatesReported: 50, Reorderings: 51,
			OutOfOrder: 52, Timeouts: 56, TimeoutRecoveries: 57, TimeoutTime: 58 * time.Millisecond,
		},
	}))
}
