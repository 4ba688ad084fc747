package diagnose

import (
	"net/netip"
	"testing"

	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/socktable"
)

func TestDatabases(t *testing.T) {
	const (
		refused = "connect to postgres:127.0.0.1:5432 (user u, database x), named by --postgres: dial tcp 127.0.0.1:5432: connect: connection refused"
		ofRedis = "PING at redis:127.0.0.1:6379, named by --redis: "
		ofUsers = "connect to postgres:127.0.0.1:5432 (user u, database x), named by --postgres: "
		idle    = "a connection without keepalive that was idle for 3s: i/o timeout"
	)
	listening := func(address string) socktable.Socket {
		return socktable.Socket{Protocol: socktable.TCP, State: sock.Listening, Local: netip.MustParseAddrPort(address)}
	}
	established := func(seconds string) map[string]string {
		return map[string]string{"net.netfilter.nf_conntrack_tcp_timeout_established": seconds}
	}
	for name, c := range map[string]struct {
		symptom  Symptom
		settings map[string]string
		sockets  []socktable.Socket
		id       string
	}{
		"no line":             {symptom: Symptom{Message: ofUsers + "connect:\nFATAL: no pg_hba.conf entry for host \"127.0.0.1\" (SQLSTATE 28000)"}, id: "pg-hba-no-line"},
		"a line that rejects": {symptom: Symptom{Message: ofUsers + "FATAL: pg_hba.conf rejects connection for host"}, id: "pg-hba-reject"},
		"protected mode":      {symptom: Symptom{Message: ofRedis + "DENIED Redis is running in protected mode because"}, id: "redis-protected-mode"},
		"full Redis":          {symptom: Symptom{Message: ofRedis + "ERR max number of clients reached"}, id: "redis-maxclients"},
		"Redis that is filled": {symptom: Symptom{
			Check: "DB-007", Message: ofRedis + "ERR max number of clients reached",
		}},
		"full Redis of the run's own":     {symptom: Symptom{Message: "ERR max number of clients reached"}},
		"no line in the run's own server": {symptom: Symptom{Message: "connect to PostgreSQL at 127.0.0.1:40000: FATAL: no pg_hba.conf entry for host"}},
		"nobody listens as the run's own": {symptom: Symptom{
			Message: "connect to PostgreSQL at 127.0.0.1:5432: dial tcp 127.0.0.1:5432: connect: connection refused",
			Flows:   flowTo("tcp", "127.0.0.1:5432"),
		}},
		"full PostgreSQL":    {symptom: Symptom{Message: ofUsers + "FATAL: sorry, too many clients already (SQLSTATE 53300)"}, id: "postgres-max-connections"},
		"no snapshot":        {symptom: Symptom{Message: ofRedis + "MISCONF Redis is configured to save RDB snapshots"}, id: "redis-cannot-write"},
		"full disk":          {symptom: Symptom{Message: "ERROR: could not extend file: No space left on device (SQLSTATE 53100)"}, id: "disk-full"},
		"full shared memory": {symptom: Symptom{Message: "ERROR: could not resize shared memory segment: No space left on device"}, id: "shared-memory-full"},
		"nobody listens":     {symptom: Symptom{Message: refused, Flows: flowTo("tcp", "127.0.0.1:5432")}, id: "database-not-listening"},
		"on another address": {
			symptom: Symptom{Message: refused, Flows: flowTo("tcp", "127.0.0.1:5432")},
			sockets: []socktable.Socket{listening("192.0.2.1:5432")}, id: "database-not-listening",
		},
		"somebody listens": {
			symptom: Symptom{Message: refused, Flows: flowTo("tcp", "127.0.0.1:5432")},
			sockets: []socktable.Socket{listening("0.0.0.0:5432")},
		},
		"forgotten":     {symptom: Symptom{Message: idle}, settings: established("2"), id: "conntrack-forgets"},
		"not forgotten": {symptom: Symptom{Message: idle}, settings: established("432000")},
		"a short queue": {
			symptom:  Symptom{Message: "context deadline exceeded", Moved: counters.Snapshot{"TcpExt": {"ListenOverflows": 3}}},
			settings: map[string]string{"net.core.somaxconn": "128"}, id: "somaxconn-low",
		},
		"a queue that is long": {
			symptom:  Symptom{Message: "context deadline exceeded", Moved: counters.Snapshot{"TcpExt": {"ListenOverflows": 3}}},
			settings: map[string]string{"net.core.somaxconn": "4096"},
		},
		"delayed": {
			symptom: Symptom{Message: "took 9.0 times as long", Moved: counters.Snapshot{"TcpExt": {"DelayedACKs": 200}}},
			id:      "delayed-acknowledgements",
		},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{settings: c.settings})
			sockets(t, c.sockets...)
			c.symptom.Suite = databaseSuite
			d := databases(t.Context(), c.symptom)
			if c.id == "" && len(d.Findings) == 0 {
				return
			}
			if len(d.Findings) != 1 || d.Findings[0].Cause.ID != c.id || len(d.Findings[0].Cause.Evidence) == 0 {
				t.Errorf("found %+v, want %q", d.Findings, c.id)
			}
			c.symptom.Suite = "tcp"
			if d := databases(t.Context(), c.symptom); len(d.Findings) > 0 {
				t.Errorf("of another suite it says %+v", d.Findings)
			}
		})
	}
}

// A remedy adds an address, and leaves those that others need.
func TestServersListenAtOneAddressMore(t *testing.T) {
	has, more := netip.MustParseAddrPort("[::ffff:192.0.2.1]:5432"), netip.MustParseAddrPort("127.0.0.1:5432")
	for want, listens := range map[string]listensMore{
		`a=$(su postgres -c 'psql -p 5432 -Atc "SHOW listen_addresses"') && su postgres -c "psql -p 5432 -c \"ALTER SYSTEM SET listen_addresses = '${a:+$a, }127.0.0.1'\"" && systemctl restart postgresql`: postgresListens,
		`a=$(redis-cli -h 192.0.2.1 -p 5432 --raw CONFIG GET bind | tail -n 1) && redis-cli -h 192.0.2.1 -p 5432 CONFIG SET bind "$a 127.0.0.1"`:                                                            redisListens,
	} {
		if got := listens.command(has, more); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
