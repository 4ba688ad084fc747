package sweep

import (
	"context"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/ruleset"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// narrow gives the sockets of the sandbox that will be opened room for a few
// answers alone.
var narrow = sandbox.Register("sweep/narrow", func(context.Context, *sandbox.Inside, struct{}) (struct{}, error) {
	receiveBuffer = 0 // the kernel gives the least that it has
	return struct{}{}, nil
})

// Answers for which there was no room are noticed: what is undecided is asked
// again, and where that is of no use nothing is said of any port.
func TestLostAnswers(t *testing.T) {
	s, err := sandbox.Start(t.Context(), sandbox.Config{Zones: []string{"machine"}})
	if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
		t.Skip(refused.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	rules := "table ip f {\n\tchain in { type filter hook input priority 0; tcp dport 1-65535 tcp flags syn reject with tcp reset; }\n}\n"
	err = ruleset.LoadFileInto(t.Context(), s, "machine", ruleset.File{Name: "rules", Text: rules})
	if missing, ok := errors.AsType[*ruleset.MissingProgramError](err); ok {
		t.Skip(missing.Error())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := narrow.Call(t.Context(), s, "machine", struct{}{}); err != nil {
		t.Fatal(err)
	}
	lo := netip.MustParseAddr("127.0.0.1")
	one := Sweep{Zone: "machine", Source: lo, To: lo, Protocol: TCP, Ports: []portset.Range{{First: 1, Last: 4}}}
	runs, err := Ask(t.Context(), s, Machine{Zone: "machine"}, []Sweep{one})
	if err != nil {
		t.Fatal(err)
	}
	if len(runs[0]) != 1 || runs[0][0].String() != "reject with tcp-reset" {
		t.Errorf("four ports: %+v", runs[0])
	}
	one.Ports[0].Last = 5000
	if runs, err := Ask(t.Context(), s, Machine{Zone: "machine"}, []Sweep{one}); err == nil || !strings.Contains(err.Error(), "lost") {
		t.Errorf("five thousand ports: %+v, %v", runs, err)
	}
}
