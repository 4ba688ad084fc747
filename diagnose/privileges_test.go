package diagnose

import (
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/process"
)

func TestPingPrivileges(t *testing.T) {
	const either, raw = "ping socket or CAP_NET_RAW", "CAP_NET_RAW"
	closed := map[string]string{pingGroups: "1\t0"}
	for name, c := range map[string]struct {
		missing  string
		rights   process.Status
		settings map[string]string
		id       string
		command  string
		evidence string
	}{
		"no group may": {
			either,
			process.Status{UID: 1000, GID: 1000, Groups: []int{27, 1000}, Bounding: 1 << process.NetRaw},
			closed,
			"ping-privileges", "sysctl -w net.ipv4.ping_group_range='0 2147483647'", `is "1 0", and the groups of this process are 1000, 27`,
		},
		"a supplementary group may":  {either, process.Status{GID: 1000, Groups: []int{27}}, map[string]string{pingGroups: "27\t27"}, "", "", ""},
		"it has the capability":      {either, process.Status{Effective: 1 << process.NetRaw}, closed, "", "", ""},
		"the setting cannot be read": {either, process.Status{}, nil, "", "", ""},
		"raw sockets alone": {
			raw,
			process.Status{UID: 1000, Bounding: 1 << process.NetRaw},
			map[string]string{pingGroups: "0\t2147483647"},
			"raw-socket-privileges", "setcap cap_net_raw+ep $(command -v loopcheck)", "effective capabilities: none",
		},
		"raw sockets in a container": {
			raw, process.Status{}, closed, "raw-socket-privileges", "docker run --cap-add NET_RAW", "bounding set",
		},
		"something else is missing": {"open files", process.Status{}, closed, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{rights: c.rights, settings: c.settings, files: fileLimit{soft: 20000, hard: 20000}})
			d := Find(t.Context(), Symptom{Check: "PING-001", Missing: c.missing})
			if c.missing == "open files" {
				d = pingPrivileges(t.Context(), Symptom{Missing: c.missing})
			}
			expectOne(t, d, c.id, c.command)
			if c.id != "" && !strings.Contains(strings.Join(d.Findings[0].Cause.Evidence, "\n"), c.evidence) {
				t.Errorf("evidence %q lacks %q", d.Findings[0].Cause.Evidence, c.evidence)
			}
		})
	}
}
