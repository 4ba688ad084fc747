package iface_test

import (
	"context"
	"errors"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/lab/sandboxtest"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

// bridged is what became of a bridge.
type bridged struct {
	Bridges []string
	// Twice and Port are how making it again and a port that is not there are refused.
	Twice, Port syscall.Errno
	// Alone is how the wait for one without ports ended.
	Alone string
}

var makeBridge = sandbox.Register("iface/bridge", func(ctx context.Context, _ *sandbox.Inside, _ struct{}) (b bridged, err error) {
	if err := errors.Join(iface.AddBridge("br0", "port"), iface.AwaitUp(ctx, "br0"), iface.SetHairpin("port", true), iface.SetHairpin("port", false)); err != nil {
		return b, err
	}
	errors.As(iface.AddBridge("br0"), &b.Twice)
	if err := iface.AddBridge("br1"); err != nil {
		return b, err
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if err := iface.AwaitUp(ended, "br1"); err != nil {
		b.Alone = err.Error()
	}
	errors.As(iface.SetHairpin("br1", true), &b.Port)
	b.Bridges, err = iface.Bridges()
	return b, err
})

func TestBridgesAreMadeAndListed(t *testing.T) {
	g := NewWithT(t)
	box := sandboxtest.Start(t, sandbox.Config{Zones: []string{"host", "container"}, Links: []sandbox.Link{{
		A: sandbox.End{Zone: "host", Name: "port"}, B: sandbox.End{Zone: "container", Name: "eth0"},
	}}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	b, err := makeBridge.Call(ctx, box, "host", struct{}{})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(b.Bridges).To(ConsistOf("br0", "br1"))
	g.Expect(b.Twice).To(Equal(syscall.EEXIST))
	g.Expect(b.Port).NotTo(BeZero(), "an interface that is no port has no hairpin mode")
	g.Expect(b.Alone).To(ContainSubstring("wait for br1 to be up"), "a bridge without ports is not up")
}
