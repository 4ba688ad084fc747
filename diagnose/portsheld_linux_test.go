package diagnose

import (
	"context"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func held(protocol socktable.Protocol, at string, state sock.TCPState, owner string) socktable.Socket {
	s := socktable.Socket{Protocol: protocol, State: state, Local: netip.MustParseAddrPort(at)}
	if owner != "" {
		s.Ownership, s.Owners = socktable.Owned, []socktable.Owner{{PID: 7, Name: owner}}
	}
	return s
}

func TestPortsHeld(t *testing.T) {
	full := []socktable.Socket{
		held(socktable.TCP, "127.0.0.1:40000", sock.Established, "leaky"),
		held(socktable.TCP, "127.0.0.1:40000", sock.Established, "leaky"),
		held(socktable.TCP, "127.0.0.1:40001", sock.Established, "leaky"),
		held(socktable.TCP, "127.0.0.1:40002", sock.TimeWait, ""),
		held(socktable.UDP, "127.0.0.1:40000", sock.Closed, "other"),
	}
	squatter := []socktable.Socket{held(socktable.TCP, "0.0.0.0:62893", sock.Listening, "squatter")}
	none := "bind: " + syscall.EADDRINUSE.Error()
	for name, c := range map[string]struct {
		sockets  []socktable.Socket
		reserved string
		symptom  Symptom
		id, says string
	}{
		"all of them":            {full, "", Symptom{Message: "listen tcp 127.0.0.1:0: " + none}, "ephemeral-ports-held-tcp", "2 ports: leaky (pid 7)\n1 ports: connections in TIME_WAIT"},
		"connect found none":     {full, "", Symptom{Message: "connect: " + syscall.EADDRNOTAVAIL.Error()}, "ephemeral-ports-held-tcp", "leaky"},
		"all but the reserved":   {full[:3], "40002", Symptom{Missing: "ephemeral ports"}, "ephemeral-ports-held-tcp", `reserved_ports "40002"`},
		"two of three":           {full[:3], "", Symptom{Missing: "ephemeral ports"}, "", ""},
		"another failure":        {full, "", Symptom{Message: "connection refused"}, "", ""},
		"one port":               {squatter, "", Symptom{Message: "listen tcp 127.0.0.1:62893: " + none}, "port-held-62893", "squatter"},
		"one port of another":    {squatter, "", Symptom{Message: "listen tcp 127.0.0.1:62894: " + none}, "", ""},
		"one port of UDP":        {squatter, "", Symptom{Message: "listen udp 127.0.0.1:62893: " + none}, "", ""},
		"skipped for want of it": {squatter, "", Symptom{Missing: "port 62893"}, "port-held-62893", "squatter"},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{settings: map[string]string{"net.ipv4.ip_local_port_range": "40000\t40002", "net.ipv4.ip_local_reserved_ports": c.reserved}})
			sockets(t, c.sockets...)
			d := portsHeld(t.Context(), c.symptom)
			if c.id == "" {
				expectOne(t, d, "", "")
				return
			}
			if len(d.Findings) != 1 || d.Findings[0].Cause.ID != c.id || !strings.Contains(strings.Join(d.Findings[0].Cause.Evidence, "\n"), c.says) {
				t.Errorf("found %+v, want %s that says %q", d.Findings, c.id, c.says)
			}
		})
	}
}

func TestExposedServices(t *testing.T) {
	old := readListeners
	t.Cleanup(func() { readListeners = old })
	redis := listeners.Listener{Protocol: "tcp", Address: netip.IPv4Unspecified(), Port: 6379, Scope: listeners.Every, Process: "redis-server", PID: 7}
	readListeners = func(context.Context) (listeners.List, error) {
		return listeners.List{Listeners: []listeners.Listener{redis}}, nil
	}
	d := exposedServices(t.Context(), Symptom{Check: exposureCheck, Message: "Redis, tcp 0.0.0.0:6379, every interface, answered PING"})
	if len(d.Findings) != 1 || d.Findings[0].Cause.ID != "exposed-redis-6379" || !strings.Contains(d.Findings[0].Cause.Evidence[1], "bind 127.0.0.1") {
		t.Errorf("found %+v", d.Findings)
	}
	for _, s := range []Symptom{{Check: exposureCheck, Message: "memcached, tcp 0.0.0.0:11211"}, {Check: "PORT-001", Message: "0.0.0.0:6379"}} {
		expectOne(t, exposedServices(t.Context(), s), "", "")
	}
}
