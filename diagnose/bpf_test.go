package diagnose

import (
	"io/fs"
	"syscall"
	"testing"

	"github.com/loopcheck/loopcheck/probe/cgroupbpf"
)

func TestGroupPrograms(t *testing.T) {
	refused := func(what string) Symptom {
		return Symptom{Check: "TCP-031", Message: what + ": " + syscall.EPERM.Error(), Flows: flowTo("tcp", "127.0.0.1:0")}
	}
	at := func(place string) cgroupbpf.Program {
		return cgroupbpf.Program{Group: "/sys/fs/cgroup/a", Outside: "/sys/fs/cgroup", At: place, ID: 7, Name: "no"}
	}
	const out = "echo 0 > /sys/fs/cgroup/cgroup.procs"
	for name, c := range map[string]struct {
		program cgroupbpf.Program
		symptom Symptom
		id      string
	}{
		"connect":             {at("connect4"), refused("connect to tcp 127.0.0.1:80"), "cgroup-connect4-7"},
		"bind":                {at("bind4"), refused("bind tcp 127.0.0.1:0"), "cgroup-bind4-7"},
		"send":                {at("sendmsg4"), refused("send 5 bytes to udp 127.0.0.1:9"), "cgroup-sendmsg4-7"},
		"lost":                {at("ingress"), Symptom{Check: "TCP-001", Message: "context deadline exceeded", Flows: flowTo("tcp", "127.0.0.1:0")}, "cgroup-ingress-7"},
		"at another place":    {at("bind4"), refused("connect to tcp 127.0.0.1:80"), ""},
		"refused by the peer": {at("connect4"), Symptom{Check: "TCP-031", Message: "connect: connection refused", Flows: flowTo("tcp", "127.0.0.1:0")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			real := readPrograms
			t.Cleanup(func() { readPrograms = real })
			readPrograms = func() ([]cgroupbpf.Program, error) { return []cgroupbpf.Program{c.program}, nil }
			command := ""
			if c.id != "" {
				command = out
			}
			expectOne(t, groupPrograms(t.Context(), c.symptom), c.id, command)
		})
	}
	real := readPrograms
	t.Cleanup(func() { readPrograms = real })
	readPrograms = func() ([]cgroupbpf.Program, error) { return nil, fs.ErrPermission }
	if d := groupPrograms(t.Context(), refused("bind")); len(d.Unseen) != 1 {
		t.Errorf("%+v", d)
	}
}
