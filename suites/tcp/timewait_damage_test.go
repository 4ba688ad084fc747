package tcp

import (
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

const soReuseAddr = 2

func TestTimeWaitChecksFailInADamagedStack(t *testing.T) {
	rebinds := map[string]string{
		"TCP-060": "listen with SO_REUSEADDR where the older socket was with, with its port in TIME_WAIT",
		"TCP-061": "listen with SO_REUSEADDR where the older socket was with, with a connection open on its port",
	}
	const both = "TCP-060 || TCP-061"
	damage.Table(t, map[string]damage.Case{
		"no TIME_WAIT": {
			Setup:  []string{"sysctl -qw net.ipv4.tcp_max_tw_buckets=0"},
			Filter: "TCP-059",
			Want:   map[string]string{"TCP-059": "is in no table of the kernel and not in TIME_WAIT"},
		},
		"SO_REUSEADDR ignored": {
			Syscalls: []damage.Syscall{{Name: "setsockopt", Arguments: damage.Option(solSocket, soReuseAddr)}},
			Filter:   both, Want: rebinds,
		},
		"SO_REUSEADDR refused": {
			Syscalls: []damage.Syscall{{Name: "setsockopt", Arguments: damage.Option(solSocket, soReuseAddr), Errno: syscall.ENOPROTOOPT}},
			Filter:   both,
			Want:     map[string]string{"TCP-060": "protocol not available", "TCP-061": "protocol not available"},
		},
		"any port given": {
			Syscalls: []damage.Syscall{{Name: "bind"}},
			Filter:   both,
			Want: map[string]string{
				"TCP-060": "listen without SO_REUSEADDR where the older socket was without",
				"TCP-061": "listen without SO_REUSEADDR where the older socket was without",
			},
		},
		"FIN lost": {
			Sandboxes: damage.Input("tcp flags & fin == fin drop"),
			Filter:    "TCP-060 || TCP-062 || TCP-063 || TCP-065",
			Want: map[string]string{
				"TCP-060": "the end of the stream", "TCP-062": "the end of the stream",
				"TCP-063": "the end of the stream", "TCP-065": "the end of the stream",
			},
		},
		"no timestamps": {
			Sandboxes: []string{"sysctl -qw net.ipv4.tcp_timestamps=0"},
			Filter:    "TCP-062 || TCP-063",
			Want: map[string]string{
				"TCP-062": "was not to be had",
				"TCP-063": "was not to be had with net.ipv4.tcp_tw_reuse back at 2",
			},
		},
		"data lost": {
			Sandboxes: damage.Input("tcp flags & psh == psh drop"),
			Filter:    "TCP-062",
			Want:      map[string]string{"TCP-062": "context deadline exceeded"},
		},
	})
}

// No rule makes the kernel give a port that is in use, or count otherwise.
func TestTimeWaitIsJudged(t *testing.T) {
	clsExpectRefused(t, "a connect while the only ephemeral port is in use", func(g Gomega) { clsJudgeExhausted(g, clsExhausted{}) })
	clsExpectRefused(t, "whether a port in TIME_WAIT was used again", func(g Gomega) {
		clsJudgeHeld(g, clsExhausted{Full: syscall.EADDRNOTAVAIL, TooSoon: true})
	})
	clsExpectRefused(t, "after what time a port in TIME_WAIT was used again", func(g Gomega) {
		clsJudgeReused(g, clsExhausted{Full: syscall.EADDRNOTAVAIL, Reused: true, Delay: clsReuseDelay, After: clsReuseDelay / 2, Echoed: clsEcho})
	})
	clsExpectRefused(t, "connections in TIME_WAIT of 5", func(g Gomega) { clsJudgeCrowded(g, clsCrowded{Waiting: clsEnded}) })
	clsExpectRefused(t, "TCPTimeWaitOverflow", func(g Gomega) { clsJudgeCrowded(g, clsCrowded{Waiting: clsBuckets}) })
}
