package run

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// headSeen keeps the listeners of the head that observers are given.
type headSeen struct {
	witness
	listeners []listeners.Listener
}

func (h *headSeen) Started(head *report.Report, _ []check.Check) { h.listeners = head.Listeners }

func TestHeadSaysWhoListens(t *testing.T) {
	own, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer own.Close()
	var seen headSeen
	newRecorder(nil, Options{Observers: []Observer{&seen}})
	bound := netip.MustParseAddrPort(own.Addr().String())
	i := slices.IndexFunc(seen.listeners, func(l listeners.Listener) bool { return l.Protocol == "tcp" && l.AddrPort() == bound })
	if i < 0 {
		t.Fatalf("%v is not among %v", bound, seen.listeners)
	}
	if l := seen.listeners[i]; l.PID != os.Getpid() || l.Scope != listeners.Loopback {
		t.Errorf("it is told as %v", l)
	}
}
