package database

import (
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

func TestEveryCheckPassesWithoutIPv6(t *testing.T) {
	damage.EveryCheckPasses(t, []string{"if [ -e /proc/sys/net/ipv6 ]; then sysctl -qw net.ipv6.conf.all.disable_ipv6=1; fi"})
}

// TCP sends a lost segment again: that costs time, which is no fault.
func TestLostSegmentsAreNoFailure(t *testing.T) {
	const data = "DB-001 || DB-003 || DB-005 || DB-008 || DB-010 || DB-011 || DB-013 || DB-014"
	for id, o := range damage.Outcomes(t, damage.Input("meta l4proto tcp meta length gt 100 numgen inc mod 500 == 499 drop"), data) {
		NewWithT(t).Expect(o.State).To(Or(Equal(check.Pass), Equal(check.Inconclusive)), "%s: %s", id, o.Message)
	}
}

func TestChecksFailInADamagedStack(t *testing.T) {
	// altered is damage to what programs send, in the middle of it.
	altered := damage.Input("meta l4proto tcp meta length gt 2000 @th,4000,8 set 0xee")
	damage.Table(t, map[string]damage.Case{
		"connections refused": {
			Setup: damage.Input("tcp flags & (syn | ack) == syn reject with tcp reset"),
			Want:  damage.Every(""),
		},
		"Redis that lets everyone in": {
			// "-NOA", of which the first byte says that it is an error.
			Setup:  damage.Input("meta l4proto tcp @th,256,32 0x2d4e4f41 @th,256,8 set 0x2b"),
			Filter: "DB-002",
			Want:   map[string]string{"DB-002": "PING without a password"},
		},
		"PostgreSQL that lets everyone in": {
			// The request for SASL becomes AuthenticationOk.
			Setup:  damage.Input("meta l4proto tcp @th,256,8 0x52 @th,296,32 10 @th,296,32 set 0"),
			Filter: "DB-009",
			Want:   map[string]string{"DB-009": "was to be asked for one"},
		},
		"data altered": {
			Setup:  altered,
			Filter: "DB-003 || DB-004 || DB-006 || DB-010 || DB-011 || DB-016",
			Want: map[string]string{
				"DB-003": "what was read of 16384 bytes", "DB-004": "", "DB-006": "over TLS", "DB-010": "the SHA-256 that the server has",
				"DB-011": "100000 rows", "DB-016": "over TLS",
			},
		},
		"one segment of 100 altered": {
			Setup:  damage.Input("meta l4proto tcp meta length gt 80 numgen inc mod 100 == 99 @th,400,8 set 0xee"),
			Filter: "DB-005 || DB-013 || DB-014",
			Want:   map[string]string{"DB-005": "", "DB-013": "", "DB-014": ""},
		},
		"the end of connections lost": {
			Setup:  damage.Input("tcp flags & (fin | rst) != 0 drop"),
			Filter: "DB-012 || DB-026 || DB-027",
			Want: map[string]string{
				"DB-012": "was to be given away within 3s",
				"DB-026": "learnt of it", "DB-027": "learnt of it",
			},
		},
		"no connection after two": {
			Setup:  damage.Input("tcp flags & (syn | ack) == syn limit rate over 1/hour burst 2 packets drop"),
			Filter: "DB-015",
			Want:   map[string]string{"DB-015": "send a cancel request"},
		},
		"no connection after thirty": {
			Setup:  damage.Input("tcp flags & (syn | ack) == syn limit rate over 1/hour burst 30 packets reject with tcp reset"),
			Filter: "DB-020 || DB-021",
			Want:   map[string]string{"DB-020": "connection 31 of 50", "DB-021": "connection refused"},
		},
		"twenty connections at once": {
			Setup:  damage.Input("tcp flags & (syn | ack) == syn ct count over 20 reject with tcp reset"),
			Filter: "DB-007 || DB-017 || DB-022 || DB-023",
			Want: map[string]string{
				"DB-007": "connection refused", "DB-017": "SQLSTATE for the client after the first 20",
				"DB-022": "connection refused", "DB-023": "connection refused",
			},
		},
		"idle connections forgotten": {
			Setup: append(damage.Input("ct state invalid drop"),
				"sysctl -qw net.netfilter.nf_conntrack_tcp_timeout_established=1 net.netfilter.nf_conntrack_tcp_loose=0"),
			Filter: "DB-024 || DB-025",
			Want: map[string]string{
				"DB-024": "a connection without keepalive that was idle for",
				"DB-025": "a connection without keepalive that was idle for",
			},
		},
		"a stack that delays": {
			Setup:  []string{"tc qdisc add dev lo root tbf rate 300kbit burst 3000 limit 300000"},
			Filter: "DB-018 || DB-019",
			Want:   map[string]string{"DB-018": "times as long", "DB-019": "times as long"},
		},
	})
}
