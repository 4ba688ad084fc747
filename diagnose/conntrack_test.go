package diagnose

import "testing"

func TestConntrackFull(t *testing.T) {
	timeout := Symptom{Check: "TCP-001", Message: "context deadline exceeded", Flows: flowTo("tcp", "127.0.0.1:0")}
	for name, c := range map[string]struct {
		count   string
		symptom Symptom
		found   bool
	}{
		"full":             {"1000", timeout, true},
		"room":             {"500", timeout, false},
		"refused":          {"1000", Symptom{Check: "TCP-001", Message: "connection refused", Flows: timeout.Flows}, false},
		"echo is no port":  {"1000", Symptom{Check: "PING-001", Message: "deadline", Flows: flowTo("icmp", "127.0.0.1:0")}, false},
		"the table itself": {"960", Symptom{Check: "CFG-005"}, true},
		"no number":        {"x", timeout, false},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{settings: map[string]string{"net.netfilter.nf_conntrack_count": c.count, "net.netfilter.nf_conntrack_max": "1000"}})
			id, command := "", ""
			if c.found {
				id, command = "conntrack-full", "sysctl -w net.netfilter.nf_conntrack_max=2000"
			}
			expectOne(t, conntrack(t.Context(), c.symptom), id, command)
		})
	}
}
