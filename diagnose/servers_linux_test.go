package diagnose

import (
	"context"
	"net/netip"
	"testing"

	"github.com/loopcheck/loopcheck/probe/hostnames"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

// sockets makes the test see these sockets and no other.
func sockets(t *testing.T, all ...socktable.Socket) {
	t.Helper()
	old := readSockets
	t.Cleanup(func() { readSockets = old })
	readSockets = func(_ context.Context, o socktable.Options) (*socktable.Table, error) {
		table := &socktable.Table{}
		for _, s := range all {
			for _, p := range o.Protocols {
				if s.Protocol == p {
					table.Sockets = append(table.Sockets, s)
				}
			}
		}
		return table, nil
	}
}

func TestServers(t *testing.T) {
	old := ownAddress
	t.Cleanup(func() { ownAddress = old })
	ownAddress = netip.Addr.IsLoopback
	at := func(address string, waiting uint32) socktable.Socket {
		return socktable.Socket{Protocol: socktable.UDP, State: sock.Closed, Local: netip.MustParseAddrPort(address), ReceiveQueue: waiting}
	}
	for name, c := range map[string]struct {
		servers string
		sockets []socktable.Socket
		id      string
	}{
		"elsewhere":           {"nameserver 192.0.2.53\n", nil, ""},
		"nobody":              {"nameserver 127.0.0.53\n", []socktable.Socket{at("127.0.0.54:53", 0), at("127.0.0.53:54", 0)}, "resolver-absent-127.0.0.53"},
		"somebody who reads":  {"nameserver 127.0.0.53\n", []socktable.Socket{at("127.0.0.53:53", 0)}, ""},
		"somebody who stands": {"nameserver 127.0.0.53\n", []socktable.Socket{at("0.0.0.0:53", 768)}, "resolver-silent-127.0.0.53"},
		"one of two reads":    {"nameserver 127.0.0.53\n", []socktable.Socket{at("0.0.0.0:53", 768), at("127.0.0.53:53", 0)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			nameFiles(t, map[string]string{hostnames.ResolverPath: c.servers})
			sockets(t, c.sockets...)
			d := names(t.Context(), Symptom{Check: serversCheck, Suite: namesSuite})
			if c.id == "" && len(d.Findings) == 0 {
				return
			}
			if len(d.Findings) != 1 || d.Findings[0].Cause.ID != c.id || len(d.Findings[0].Cause.Evidence) < 2 {
				t.Errorf("found %+v, want %q", d.Findings, c.id)
			}
		})
	}
}
