package localnet

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

func TestMain(m *testing.M) {
	sandbox.Main()
	m.Run()
}

// openInside sets route_localnet of some interfaces beside a bridge, and says for
// which it is open.
var openInside = sandbox.Register("test/localnet", func(_ context.Context, _ *sandbox.Inside, on []string) (open []string, err error) {
	if err := iface.AddBridge("docker0"); err != nil {
		return nil, err
	}
	for _, name := range on {
		if err := sysctl.Set("net.ipv4.conf."+name+".route_localnet", "1"); err != nil {
			return nil, err
		}
	}
	settings, err := Open()
	for _, s := range settings {
		open = append(open, s.Interface)
	}
	return open, err
})

func TestOpenToNetworksAlone(t *testing.T) {
	for _, c := range []struct{ on, want []string }{
		{nil, nil},
		{[]string{"lo", "docker0"}, nil},
		{[]string{"eth0", "docker0"}, []string{"eth0"}},
		{[]string{"all", "eth0"}, []string{"all", "eth0"}},
	} {
		box, err := sandbox.Start(t.Context(), sandbox.Config{Zones: []string{"host", "outside"}, Links: []sandbox.Link{{
			A: sandbox.End{Zone: "host", Name: "eth0"}, B: sandbox.End{Zone: "outside", Name: "eth0"},
		}}})
		if refused, ok := errors.AsType[*sandbox.RefusedError](err); ok {
			t.Skip(refused)
		}
		if err != nil {
			t.Fatal(err)
		}
		open, err := openInside.Call(t.Context(), box, "host", c.on)
		if closeErr := box.Close(); err != nil || closeErr != nil {
			t.Fatal(err, closeErr)
		}
		if !slices.Equal(open, c.want) {
			t.Errorf("on for %q: open for %q, want %q", c.on, open, c.want)
		}
	}
}
