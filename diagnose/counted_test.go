package diagnose

import (
	"slices"
	"strings"
	"testing"

	"github.com/loopcheck/loopcheck/probe/counters"
)

func TestCountersTellWhereNothingElseDoes(t *testing.T) {
	moved := counters.Snapshot{
		"Udp":    {"RcvbufErrors": 3, "InDatagrams": 900},
		"TcpExt": {"TCPTimeouts": 1, "ListenDrops": -2},
	}
	found := countedFindings(counted(Symptom{Check: "UDP-010", Moved: moved}))
	if len(found) != 1 {
		t.Fatalf("found %+v", found)
	}
	cause := found[0].Cause
	if cause.ID != "counter-Udp-RcvbufErrors" || !strings.Contains(cause.Summary, "found a receive buffer full and 1 more") ||
		!slices.ContainsFunc(cause.Evidence, func(line string) bool { return strings.Contains(line, "TcpExt TCPTimeouts moved by 1 during UDP-010") }) {
		t.Errorf("%+v", cause)
	}
	for name, s := range map[string]Symptom{
		"nothing moved": {Check: "UDP-010", Moved: counters.Snapshot{"Udp": {"InDatagrams": 5}}},
		"not known":     {Check: "UDP-010"},
	} {
		if found := countedFindings(counted(s)); len(found) > 0 {
			t.Errorf("%s: found %+v", name, found)
		}
	}
}

// Each counter is one that a kernel has, spelt as it spells it.
func TestTellingCountersExist(t *testing.T) {
	now, err := counters.Read()
	if err != nil {
		t.Skip(err)
	}
	for _, c := range telling {
		if _, err := now.Get(c.group, c.name); err != nil && now[c.group] != nil {
			t.Error(err)
		}
	}
}
