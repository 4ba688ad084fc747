package database

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// idleFor is how long connections are left alone: longer than any timeout of
	// seconds, and than keepalive waits here. It passes beside other checks.
	idleFor = 3 * time.Second
	// idleTimeout leaves room for a server that has to be made first, and the wait.
	idleTimeout = starting + idleFor
)

// keepAlive asks after a second of silence, and each second after (tcp(7)).
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: time.Second, Interval: time.Second, Count: 3}

// silent asks never.
var silent = net.KeepAliveConfig{Enable: false}

// resting are connections that are left alone.
type resting struct {
	since time.Time
	// wake asks over each connection who it is for the server, and fails where it
	// is not who it was.
	wake []wakeUp
	// shut closes them.
	shut []func()
	open opener
}

// opener makes a connection, and what asks over it.
type opener func(context.Context, net.KeepAliveConfig) (ask func(context.Context) error, shut func(), err error)

type wakeUp struct {
	name string
	ask  func(context.Context) error
}

// rest opens connections with and without keepalive, once.
func rest(ctx context.Context, at **resting, open opener) error {
	if *at != nil {
		return nil
	}
	r := &resting{open: open}
	for _, kind := range []struct {
		name   string
		config net.KeepAliveConfig
	}{{"without keepalive", silent}, {"with keepalive", keepAlive}} {
		ask, shut, err := open(ctx, kind.config)
		if err != nil {
			r.close()
			return fmt.Errorf("connect %s: %w", kind.name, err)
		}
		r.wake, r.shut = append(r.wake, wakeUp{kind.name, ask}), append(r.shut, shut)
	}
	r.since = time.Now()
	*at = r
	return nil
}

func (r *resting) close() {
	for _, shut := range r.shut {
		shut()
	}
	r.shut = nil
}

var restingRedis, restingPostgres *resting

var _ = ReportAfterSuite("idle connections end", func(Report) {
	for _, r := range []*resting{restingRedis, restingPostgres} {
		if r != nil {
			r.close()
		}
	}
})

func (c cache) rest(ctx context.Context) error {
	return rest(ctx, &restingRedis, func(ctx context.Context, keep net.KeepAliveConfig) (func(context.Context) error, func(), error) {
		options := c.options
		if options.TLSConfig == nil {
			options.Dialer = (&net.Dialer{Timeout: patience, KeepAliveConfig: keep}).DialContext
			if !keep.Enable {
				options.Dialer = (&net.Dialer{Timeout: patience, KeepAlive: -1}).DialContext
			}
		}
		client := redis.NewClient(&options)
		conn := client.Conn()
		shut := func() {
			_ = conn.Close()
			_ = client.Close()
		}
		was, err := conn.ClientID(ctx).Result()
		if err != nil {
			shut()
			return nil, nil, seen(err, c.String())
		}
		return func(ctx context.Context) error {
			is, err := conn.ClientID(ctx).Result()
			if err == nil && is != was {
				err = fmt.Errorf("it was client %d and is %d: the connection was replaced", was, is)
			}
			return seen(err, c.String())
		}, shut, nil
	})
}

func (d database) rest(ctx context.Context) error {
	return rest(ctx, &restingPostgres, func(ctx context.Context, keep net.KeepAliveConfig) (func(context.Context) error, func(), error) {
		conn, err := d.dial(ctx, func(c *pgx.ConnConfig) {
			c.DialFunc = (&net.Dialer{KeepAliveConfig: keep}).DialContext
			if !keep.Enable {
				c.DialFunc = (&net.Dialer{KeepAlive: -1}).DialContext
			}
		})
		if err != nil {
			return nil, nil, err
		}
		shut := func() {
			ctx, cancel := after()
			defer cancel()
			_ = conn.Close(ctx)
		}
		return func(ctx context.Context) error {
			var pid uint32
			err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid)
			if err == nil && pid != conn.PgConn().PID() {
				err = fmt.Errorf("it was process %d and is %d: the session was replaced", conn.PgConn().PID(), pid)
			}
			return seen(err, d.String())
		}, shut, nil
	})
}

// survive waits until the connections have been idle for long enough, and has each
// answer.
func (r *resting) survive(ctx context.Context) {
	GinkgoHelper()
	load := spec.StartLoad()
	wait := time.NewTimer(time.Until(r.since.Add(idleFor)))
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		Fail("the run ended before the connections were idle for long enough")
	}
	idle := time.Since(r.since)
	spec.Measure("idle_ns", float64(idle.Nanoseconds()))
	bounded := spec.Within(ctx, patience)
	for _, w := range r.wake {
		err := w.ask(bounded)
		if err != nil && !r.answersOthers(ctx) {
			load.ExcuseTimeout(err)
		}
		Expect(err).NotTo(HaveOccurred(), "a connection %s that was idle for %v", w.name, idle.Round(time.Second))
	}
}

// answersOthers says whether a new connection is answered in the time in which one that
// was idle has to be: however busy the machine is, that one is not late then, but lost.
func (r *resting) answersOthers(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ask, shut, err := r.open(ctx, silent)
	if err != nil {
		return false
	}
	defer shut()
	return ask(ctx) == nil
}

var (
	idleCauses = []string{
		"connections on lo are tracked with a timeout of seconds (net.netfilter.nf_conntrack_tcp_timeout_established), and a rule drops what belongs to none (`ct state invalid drop`)",
		"the server ends sessions that idle (`timeout` of Redis, `idle_session_timeout` of PostgreSQL)",
		"a proxy or pooler in between ends connections that idle",
	}
	idleRemedies = []string{
		"keep tracked connections for longer: `sysctl -w net.netfilter.nf_conntrack_tcp_timeout_established=432000`, or do not track those of lo: `nft add rule inet raw output oifname lo notrack`",
		"have keepalive ask sooner than that: `sysctl -w net.ipv4.tcp_keepalive_time=60`, `tcp_keepalives_idle` of PostgreSQL, `tcp-keepalive` of Redis",
	}
)

const whyIdle = "A pool keeps its connections open for hours without a word. One that has silently died is found by the next request, which waits for a timeout of minutes."

var _ = suite.It("keeps connections to Redis that are idle", check.Check{
	ID: "DB-024", Grade: check.GradeFail, Needs: []check.Need{needRedis}, Timeout: idleTimeout,
	Source: "RFC 9293 3.8.4 (keep-alives); RFC 5382 5 (REQ-5); Redis documentation, clients",
	Asks:   "Leaves two connections to Redis alone for 3 seconds or more, beside other checks: one without keepalive, and one whose kernel asks each second. Both must be answered then, as the same clients as before (CLIENT ID).",
	Why:    whyIdle, Causes: idleCauses, Remedies: idleRemedies,
}, func(ctx SpecContext) {
	c := redisServer(ctx)
	c.answered(c.rest(spec.Within(ctx, patience)), "open connections to leave alone")
	restingRedis.survive(ctx)
})

var _ = suite.It("keeps connections to PostgreSQL that are idle", check.Check{
	ID: "DB-025", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: idleTimeout,
	Source: "RFC 9293 3.8.4 (keep-alives); RFC 5382 5 (REQ-5); PostgreSQL documentation, idle_session_timeout",
	Asks:   "Leaves two connections to PostgreSQL alone for 3 seconds or more, beside other checks: one without keepalive, and one whose kernel asks each second. Both must be answered then, by the same sessions as before (pg_backend_pid).",
	Why:    whyIdle, Causes: idleCauses, Remedies: idleRemedies,
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	d.answered(d.rest(spec.Within(ctx, patience)), "open connections to leave alone")
	restingPostgres.survive(ctx)
})
