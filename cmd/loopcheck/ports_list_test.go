package main

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// listed has all that a line can show, and names that somebody else chose.
func listed() []listeners.Listener {
	workers := []listeners.Owner{{PID: 812, Process: "nginx"}, {PID: 813, Process: "nginx"}, {PID: 1, Process: "systemd"}}
	const hostile = "x\x1b[31m\n\u202e"
	return []listeners.Listener{
		{
			Protocol: "tcp", Address: netip.IPv6Unspecified(), Port: 80, Scope: listeners.Every, IPv4Too: true,
			Backlog: &listeners.Backlog{Waiting: 3, Limit: 4096}, PID: 812, User: "www-data", Owners: workers,
			Unit: "docker-3f4e1a2b9c0d.scope", Container: "docker 3f4e1a2b9c0d",
		},
		{
			Protocol: "udp", Address: netip.MustParseAddr("fe80::1"), Port: 546, Scope: listeners.Interface, Interface: "eth0",
			User: "root", Unowned: listeners.NotAllowed,
		},
		{
			Protocol: "udp", Address: netip.IPv4Unspecified(), Port: 2049, Scope: listeners.Every,
			User: "root", Unowned: "no process in sight: the kernel's own",
		},
		{
			Protocol: "tcp", Address: netip.MustParseAddr("127.0.0.1"), Port: 62893, Scope: listeners.Loopback, Interface: "lo",
			Backlog: &listeners.Backlog{Limit: 128}, PID: 4711, User: "1000", Unit: "app.service",
			Owners: []listeners.Owner{{PID: 4711, Process: hostile}},
		},
	}
}

func listedTable(t *testing.T, all []listeners.Listener, width int) string {
	t.Helper()
	var out bytes.Buffer
	if err := printListenerTable(&out, all, width); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestListenerTable(t *testing.T) {
	for width, want := range map[int]string{
		0: `
PROTO  ADDRESS        PORT  SCOPE            PROCESS               PID  USER      BACKLOG  UNIT                       CONTAINER
tcp    :: and IPv4      80  every interface  nginx, systemd     812 +2  www-data   3/4096  docker-3f4e1a2b9c0d.scope  docker 3f4e1a2b9c0d
udp    fe80::1%eth0    546  interface eth0   ?                       -  root            -  -                          -
udp    0.0.0.0        2049  every interface  -                       -  root            -  -                          -
tcp    127.0.0.1     62893  loopback         x\x1b[31m\n\u202e    4711  1000        0/128  app.service                -
`,
		80: `
PROTO  ADDRESS        PORT  SCOPE            PROCESS               PID  USER
tcp    :: and IPv4      80  every interface  nginx, systemd     812 +2  www-data
       backlog 3/4096, unit docker-3f4e1a2b9c0d.scope,
       container docker 3f4e1a2b9c0d
udp    fe80::1%eth0    546  interface eth0   ?                       -  root
udp    0.0.0.0        2049  every interface  -                       -  root
tcp    127.0.0.1     62893  loopback         x\x1b[31m\n\u202e    4711  1000
       backlog 0/128, unit app.service
`,
	} {
		if got := "\n" + listedTable(t, listed(), width); got != want {
			t.Errorf("in %d columns:%s\nwant:%s", width, got, want)
		}
	}
}

func TestListenerTableFitsEveryWidth(t *testing.T) {
	for width := 27; width < 150; width++ {
		for line := range strings.Lines(listedTable(t, listed(), width)) {
			if n := terminal.Columns(strings.TrimSuffix(line, "\n")); n > width {
				t.Errorf("%d columns of %d: %q", n, width, line)
			}
		}
	}
}

func TestListenerTableWithoutUnits(t *testing.T) {
	want := "PROTO  ADDRESS  PORT  SCOPE            PROCESS  PID  USER  BACKLOG\n" +
		"udp    0.0.0.0  2049  every interface  -          -  root        -\n"
	if got := listedTable(t, listed()[2:3], 0); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
