package tcp

import (
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

// Numbers of include/uapi/asm-generic/socket.h and include/uapi/linux/tcp.h.
const (
	soKeepAlive = 9
	soLinger    = 13
	tcpLinger2  = 8
)

func TestCloseChecksFailInADamagedStack(t *testing.T) {
	answered := func(id, message string, calls ...damage.Syscall) damage.Case {
		return damage.Case{Filter: id, Syscalls: calls, Want: map[string]string{id: message}}
	}
	shut := func(how uint32, errno syscall.Errno) damage.Syscall {
		return damage.Syscall{Name: "shutdown", Arguments: map[int]uint32{1: how}, Errno: errno}
	}
	set := func(level, name int) damage.Syscall {
		return damage.Syscall{Name: "setsockopt", Arguments: damage.Option(level, name)}
	}
	damage.Table(t, map[string]damage.Case{
		"FIN lost": {
			Setup:  damage.Input("tcp flags & fin == fin drop"),
			Filter: "TCP-058 || TCP-059 || TCP-066 || TCP-069",
			Want: map[string]string{
				"TCP-058": "the FIN of a server that closed",
				"TCP-059": "the end that closed first",
				"TCP-066": "the end of the stream, when the last of two descriptors",
				"TCP-069": "the FIN of a peer that closed",
			},
		},
		"RST in the FIN's place": {
			Setup:  damage.Input("tcp flags & fin == fin tcp flags set rst"),
			Filter: "TCP-058 || TCP-059 || TCP-069",
			Want: map[string]string{
				"TCP-058": "sending",
				"TCP-059": "the end of the stream from",
				"TCP-069": "what poll says of a socket whose peer has closed",
			},
		},
		"FIN with the first bytes": {
			Setup:  damage.Input("tcp flags & psh == psh tcp flags set fin | psh | ack"),
			Filter: "TCP-066",
			Want:   map[string]string{"TCP-066": "a read while one of two descriptors of the peer is open"},
		},
		"data answered with RST": {
			Setup:  damage.Input("tcp flags & psh == psh reject with tcp reset"),
			Filter: "TCP-053",
			Want:   map[string]string{"TCP-053": "bytes that wait to be read"},
		},
		"SHUT_RD ignored":            answered("TCP-053", "a read after SHUT_RD, before the client has sent anything", shut(0, 0)),
		"data gone with the reset":   answered("TCP-055", "of what came before", damage.Syscall{Name: "recvfrom", Errno: syscall.ECONNRESET}),
		"no write to a closed peer":  answered("TCP-058", "sending", damage.Syscall{Name: "sendmsg", Errno: syscall.EPIPE}),
		"shutdown of a fresh socket": answered("TCP-068", "SHUT_RD of a fresh socket", shut(0, 0)),
		"shutdown that knows all":    answered("TCP-068", "shutdown with 3, which is no direction", shut(3, 0)),
		"shutdown that wakes nobody": answered("TCP-070", "what a blocked read returned after shutdown", shut(2, 0)),
		"SO_LINGER ignored":          answered("TCP-057", "how long close waited", set(solSocket, soLinger)),
		"TCP_LINGER2 ignored":        answered("TCP-064", "still in FIN_WAIT2", set(syscall.IPPROTO_TCP, tcpLinger2)),
		"SO_KEEPALIVE ignored":       answered("TCP-071", "the end of an idle connection with keepalive", set(solSocket, soKeepAlive)),
		"FIN lost in the sandbox": {
			Sandboxes: damage.Input("tcp flags & fin == fin drop"),
			Filter:    "TCP-064",
			Want:      map[string]string{"TCP-064": "still in FIN_WAIT1"},
		},
		"RST lost in the sandbox": {
			Sandboxes: damage.Input("tcp flags & rst == rst drop"),
			Filter:    "TCP-067",
			Want:      map[string]string{"TCP-067": "a read at the other end of a connection that was destroyed"},
		},
		"FIN in the place of a RST": {
			Sandboxes: damage.Input("tcp flags & rst == rst tcp flags set fin | ack"),
			Filter:    "TCP-067",
			Want:      map[string]string{"TCP-067": "what the other end reads"},
		},
		"keepalive probes answered with RST": {
			Sandboxes: damage.Input("tcp flags == ack limit rate over 1/hour burst 1 packets reject with tcp reset"),
			Filter:    "TCP-071",
			Want:      map[string]string{"TCP-071": "what ended an idle connection"},
		},
		"SYN to a full queue refused": {
			Sandboxes: damage.Input("tcp flags & (syn|ack) == syn limit rate over 1/hour burst 2 packets reject with tcp reset"),
			Filter:    "TCP-073",
			Want:      map[string]string{"TCP-073": "ListenOverflows has not moved"},
		},
	})
}

// No rule makes the kernel send for a socket that is closed.
func TestCloseInSynSentIsJudged(t *testing.T) {
	for message, seen := range map[string]clsClosedEarly{
		"segments sent by the close":     {Before: sock.SynSent, Sent: 1, Resets: 1},
		"where the connection is":        {Before: sock.SynSent, After: sock.SynSent},
		"state of the connection before": {Before: sock.Established},
	} {
		clsExpectRefused(t, message, func(g Gomega) { clsJudgeClosedEarly(g, seen) })
	}
}

// clsExpectRefused expects that an observation fails a check, with that message
// first.
func clsExpectRefused(t *testing.T, message string, judge func(Gomega)) {
	t.Helper()
	var said []string
	judge(NewGomega(func(text string, _ ...int) { said = append(said, text) }))
	NewWithT(t).Expect(append(said, "nothing")[0]).To(ContainSubstring(message))
}
