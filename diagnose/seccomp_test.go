package diagnose

import (
	"strings"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/probe/process"
)

func TestSeccomp(t *testing.T) {
	old := readRefusals
	t.Cleanup(func() { readRefusals = old })
	for name, c := range map[string]struct {
		filtered bool
		call     string
		symptom  Symptom
		id       string
	}{
		"connect":              {true, "connect", Symptom{Message: "dial tcp4 127.0.0.1:41075: connect: operation not permitted"}, "seccomp-connect"},
		"connect is not told":  {true, "connect", Symptom{Message: "10 bytes came back changed"}, ""},
		"bind":                 {true, "bind", Symptom{Message: "listen tcp4 127.0.0.1:0: bind: " + syscall.ENOSYS.Error()}, "seccomp-bind"},
		"listen, but of bind":  {true, "connect", Symptom{Message: "listen tcp4 127.0.0.1:0: bind: permission denied"}, ""},
		"no filter":            {false, "connect", Symptom{Message: "connect: operation not permitted"}, ""},
		"sendto":               {true, "sendto", Symptom{Message: "i/o timeout"}, "seccomp-sendto"},
		"IPv6 for want of it":  {true, "socket inet6", Symptom{Missing: "IPv6 loopback"}, "seccomp-socket-inet6"},
		"IPv6 as it was asked": {true, "socket inet6", Symptom{Message: "listen udp6 [::1]:0: socket: operation not permitted"}, "seccomp-socket-inet6"},
		"IPv4 was asked":       {true, "socket inet6", Symptom{Message: "connect: connection refused"}, ""},
		"netlink":              {true, "socket netlink", Symptom{Message: "open rtnetlink: socket: operation not permitted"}, "seccomp-socket-netlink"},
		"no netlink":           {true, "socket netlink", Symptom{Message: "socket: too many open files"}, ""},
		"nothing is refused":   {true, "", Symptom{Message: "connect: operation not permitted"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{rights: process.Status{Filtered: c.filtered, Filters: 2}})
			readRefusals = func() []process.Refusal {
				if c.call == "" {
					return nil
				}
				return []process.Refusal{{Call: c.call, Errno: syscall.EPERM, Right: syscall.EBADF}}
			}
			d := seccompFilter(t.Context(), c.symptom)
			if c.id == "" {
				expectOne(t, d, "", "")
				return
			}
			if len(d.Findings) != 1 || d.Findings[0].Cause.ID != c.id || !strings.Contains(strings.Join(d.Findings[0].Cause.Evidence, "\n"), "Seccomp_filters: 2") {
				t.Errorf("found %+v, want %s", d.Findings, c.id)
			}
		})
	}
}
