package tcp

import (
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// useFreshSockets are the checks of data transfer and close that connect to nobody.
var useFreshSockets = []string{"TCP-039", "TCP-044", "TCP-068"}

// Numbers of include/uapi/asm-generic/socket.h, include/linux/socket.h and
// include/uapi/asm-generic/sockios.h.
const (
	soSendBuffer    = 7
	soReceiveLowAt  = 18
	soSendLowAt     = 19
	soReceiveWait   = 20
	soPeekOffset    = 42
	soZeroCopy      = 60
	tcpNoDelay      = 1
	tcpCork         = 3
	msgPeek         = 0x2
	msgTruncate     = 0x20
	msgDontWait     = 0x40
	msgWaitAll      = 0x100
	unreadBytes     = 0x541b
	flagsOfRecvfrom = 3
)

func TestDataChecksFailInADamagedStack(t *testing.T) {
	answered := func(id, message string, calls ...damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: calls, Want: map[string]string{id: message}}
	}
	set := func(level, name int) damage.Syscall {
		return damage.Syscall{Name: "setsockopt", Arguments: damage.Option(level, name)}
	}
	receive := func(flags uint32, errno syscall.Errno) damage.Syscall {
		return damage.Syscall{Name: "recvfrom", Arguments: map[int]uint32{flagsOfRecvfrom: flags}, Errno: errno}
	}
	const socketLevel, tcp = solSocket, syscall.IPPROTO_TCP
	damage.Table(t, map[string]damage.Case{
		// Behind 20 bytes of header and 12 of options.
		"first byte rewritten": {
			Setup:  damage.Input("tcp flags & psh == psh @th,256,8 set 0x58"),
			Filter: "TCP-032 || TCP-037 || TCP-047 || TCP-048",
			Want: map[string]string{
				"TCP-032": "what one read returned of two writes",
				"TCP-037": "the first that the peer reads after a write of no bytes",
				"TCP-047": "what the two buffers hold that are not empty",
				"TCP-048": "what recvfrom returned",
			},
		},
		"payload rewritten": {
			Setup:  damage.Input("meta length gt 1400 @th,8000,8 set 0x55"),
			Filter: "TCP-038 || TCP-049",
			Want: map[string]string{
				"TCP-038": "what was read of",
				"TCP-049": "a file of 1052897 bytes sent from byte 1000 on",
			},
		},
		"data lost": {
			Setup:  damage.Input("tcp flags & psh == psh drop"),
			Filter: "TCP-041 || TCP-050",
			Want: map[string]string{
				"TCP-041": "what was sent with MSG_ZEROCOPY",
				"TCP-050": "the edge of the first bytes",
			},
		},
		"urgent flag cleared": {
			Setup:  damage.Input("tcp flags & urg == urg tcp flags set ack"),
			Filter: "TCP-036",
			Want:   map[string]string{"TCP-036": "what a read returned before the urgent byte"},
		},
		"FIN lost": {
			Setup:  damage.Input("tcp flags & fin == fin drop"),
			Filter: "TCP-046 || TCP-050",
			Want:   map[string]string{"TCP-046": "the FIN after 5 bytes", "TCP-050": "the edge of the FIN"},
		},
		"acknowledgements at once": {
			Sandboxes: []string{"ip route replace local 127.0.0.1 dev lo table local proto kernel scope host src 127.0.0.1 quickack 1"},
			Filter:    "TCP-043",
			Want:      map[string]string{"TCP-043": "requests in two parts with Nagle's algorithm"},
		},
		"nothing to peek at":         answered("TCP-033", "what the first peek returned", receive(msgPeek, 0)),
		"SO_PEEK_OFF ignored":        answered("TCP-033", "what a peek of 4 bytes returned with SO_PEEK_OFF", set(socketLevel, soPeekOffset)),
		"MSG_TRUNC ignored":          answered("TCP-034", "bytes that a read of 4 with MSG_TRUNC counts", receive(msgTruncate, 0)),
		"MSG_DONTWAIT ignored":       answered("TCP-035", "a read with MSG_DONTWAIT of nothing", receive(msgDontWait, 0)),
		"SO_RCVTIMEO ignored":        answered("TCP-035", "a read of nothing with SO_RCVTIMEO of 100ms", set(socketLevel, soReceiveWait)),
		"SO_RCVTIMEO over at once":   answered("TCP-035", "how long SO_RCVTIMEO of 100ms let a read wait", receive(0, syscall.EAGAIN)),
		"MSG_WAITALL refused":        answered("TCP-035", "bytes that MSG_WAITALL leaves in the queue", receive(msgWaitAll, syscall.EAGAIN)),
		"a fresh socket that sends":  answered("TCP-039", "a send on a fresh socket", damage.Syscall{Name: "sendmsg"}),
		"a fresh socket's own error": answered("TCP-039", "a receive on a fresh socket", receive(0, syscall.EAGAIN)),
		"EPIPE without a signal":     answered("TCP-040", "whether a plain write to a stream whose sending side is closed raised SIGPIPE", damage.Syscall{Name: "sendmsg", Errno: syscall.EPIPE}),
		"SO_ZEROCOPY ignored":        answered("TCP-041", "the completion of a send with MSG_ZEROCOPY", set(socketLevel, soZeroCopy)),
		"TCP_CORK ignored":           answered("TCP-042", "how long TCP_CORK held ten bytes back", set(tcp, tcpCork)),
		"TCP_NODELAY ignored":        answered("TCP-043", "requests in two parts with TCP_NODELAY", set(tcp, tcpNoDelay)),
		"SO_SNDBUF ignored":          answered("TCP-044", "SO_SNDBUF after it was set to 20000", set(socketLevel, soSendBuffer)),
		"SO_RCVLOWAT ignored":        answered("TCP-045", "poll with 4 bytes to read and SO_RCVLOWAT at 10", set(socketLevel, soReceiveLowAt)),
		"SO_SNDLOWAT taken":          answered("TCP-045", "setting SO_SNDLOWAT", set(socketLevel, soSendLowAt)),
		"SIOCINQ not told": answered("TCP-046", "what SIOCINQ says of 5 bytes and a FIN",
			damage.Syscall{Name: "ioctl", Arguments: map[int]uint32{1: unreadBytes}}),
		"nothing taken of several buffers": answered("TCP-047", "bytes sent of four buffers", damage.Syscall{Name: "sendmsg"}),
		"no sendfile":                      answered("TCP-049", "send a file over tcp, after 0 of 1051897 bytes", damage.Syscall{Name: "sendfile", Errno: syscall.ENOSYS}),
	})
}
