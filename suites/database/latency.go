package database

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	"github.com/redis/go-redis/v9"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// way is a connection that sends PING.
func (c cache) way(name string, changes ...func(*redis.Options)) way {
	return way{name, func(ctx context.Context) (func(context.Context) error, func(), error) {
		options := c.options
		for _, change := range changes {
			change(&options)
		}
		client := redis.NewClient(&options)
		conn := client.Conn()
		ask := func(ctx context.Context) error {
			pong, err := conn.Ping(ctx).Result()
			if err == nil && pong != "PONG" {
				err = fmt.Errorf("PING is answered by %q", pong)
			}
			return seen(err, c.String())
		}
		shut := func() {
			_ = conn.Close()
			_ = client.Close()
		}
		if err := ask(ctx); err != nil { // which connects
			shut()
			return nil, nil, err
		}
		return ask, shut, nil
	}}
}

// ways are TCP and the unix socket; of a user's server the one that leads there.
func (c cache) ways() []way {
	if c.own == nil {
		return []way{c.way("redis")}
	}
	return []way{c.way("redis_tcp"), c.way("redis_unix", c.overSocket)}
}

// way is a connection that asks for a number by a prepared statement.
func (d database) way(name string, changes ...func(*pgx.ConnConfig)) way {
	return way{name, func(ctx context.Context) (func(context.Context) error, func(), error) {
		conn, err := d.dial(ctx, changes...)
		if err != nil {
			return nil, nil, err
		}
		n := int32(0)
		ask := func(ctx context.Context) error {
			n++
			var back int32
			err := conn.QueryRow(ctx, "SELECT $1::int", n).Scan(&back)
			if err == nil && back != n {
				err = fmt.Errorf("SELECT %d is answered by %d", n, back)
			}
			return seen(err, d.String())
		}
		shut := func() {
			ctx, cancel := after()
			defer cancel()
			_ = conn.Close(ctx)
		}
		return ask, shut, nil
	}}
}

func (d database) ways() []way {
	if d.own == nil {
		return []way{d.way("postgres")}
	}
	return []way{d.way("postgres_tcp"), d.way("postgres_unix", d.overSocket)}
}

var slowCauses = []string{
	"each packet is held against hundreds of netfilter rules one after the other, instead of a set or a map",
	"packets on lo are copied by a capture (tcpdump, an IDS) or run through an eBPF program or a probe of a tracer",
	"lo has a queueing discipline that delays or limits (tbf, netem), or TCP_NODELAY has no effect, so that Nagle's algorithm waits for delayed acknowledgements",
}

var slowRemedies = []string{
	"see where the time goes with `loopcheck bench ladder`, which measures what the rules cost as well",
	"put `iif lo accept` before the other rules, or their ports and addresses into sets: `nft list ruleset`",
	"have the application use the server's unix socket",
}

var crowdCauses = []string{
	"a firewall limits connections or packets on lo (ct count, connlimit, limit rate)",
	"net.core.somaxconn cuts the queue of the listener down below what connects at once",
	"the table of tracked connections is full (net.netfilter.nf_conntrack_max)",
}

var crowdRemedies = []string{
	"see which rules limit: `nft list ruleset | grep -E 'ct count|limit'`, `iptables-save | grep -E 'connlimit|hashlimit'`",
	"see whether queues overflowed: `nstat -az TcpExtListenOverflows TcpExtListenDrops`",
}

const (
	whyRoundTrips = "A page of a web application makes dozens of these round trips one after the other. What loopback adds to each, it adds to the page dozens of times."
	whyConnects   = "An application without a pool connects for each request. What it costs here, and a connection that fails once in a hundred times, its users see."
	whyCrowds     = "A pool's connections are used at once when it matters, under load. What then is lost or refused looks like a fault of the database."
)

var _ = suite.It("takes for a round trip to Redis over TCP a time of the order of its unix socket's", check.Check{
	ID: "DB-018", Grade: check.GradeWarn, Benchmark: true, Needs: []check.Need{needRedis}, Timeout: starting,
	Source: "linux",
	Asks:   "Sends PING to Redis and awaits the answer, in turns over TCP on 127.0.0.1 and over the server's unix socket, for 60 ms over each of 7 pairs of fresh connections, and reports the medians with their intervals. It warns where the quickest of the 7 took more than 5 times as long over TCP, twice in a row; both wake, parse and answer alike. Of a user's server the one way is measured that leads there.",
	Why:    whyRoundTrips, Causes: slowCauses, Remedies: slowRemedies,
}, func(ctx SpecContext) {
	c := redisServer(ctx)
	holdsAgainstSocket(spec.Within(ctx, transfer), c.ways())
})

var _ = suite.It("takes for a round trip to PostgreSQL over TCP a time of the order of its unix socket's", check.Check{
	ID: "DB-019", Grade: check.GradeWarn, Benchmark: true, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "linux",
	Asks:   "Asks PostgreSQL for a number by a prepared statement and awaits the answer, in turns over TCP on 127.0.0.1 and over the server's unix socket, for 60 ms over each of 7 pairs of fresh connections, and reports the medians with their intervals. It warns where the quickest of the 7 took more than 5 times as long over TCP, twice in a row. Of a user's server the one way is measured that leads there.",
	Why:    whyRoundTrips, Causes: slowCauses, Remedies: slowRemedies,
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	holdsAgainstSocket(spec.Within(ctx, transfer), d.ways())
})

var _ = suite.It("connects to Redis 50 times one after the other, and reports what it costs", check.Check{
	ID: "DB-020", Grade: check.GradeFail, Benchmark: true, Needs: []check.Need{needRedis}, Timeout: starting,
	Source: "RFC 9293 3.5; Redis documentation, HELLO",
	Asks:   "Connects to Redis, logs in, sends PING, and leaves, 50 times one after the other, over TCP and over the unix socket (5 times to a user's server). Each must be answered; the median and the longest time are reported.",
	Why:    whyConnects, Causes: crowdCauses, Remedies: crowdRemedies,
}, func(ctx SpecContext) {
	c := redisServer(ctx)
	connectCost(spec.Within(ctx, transfer), times(c.own == nil), c.ways())
})

var _ = suite.It("connects to PostgreSQL 50 times one after the other, and reports what it costs", check.Check{
	ID: "DB-021", Grade: check.GradeFail, Benchmark: true, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "RFC 9293 3.5; RFC 7677; PostgreSQL documentation, frontend/backend protocol",
	Asks:   "Connects to PostgreSQL, logs in by SCRAM, asks for a number, and leaves, 50 times one after the other, over TCP and over the unix socket (5 times to a user's server). Each must be answered; the median and the longest time are reported.",
	Why:    whyConnects, Causes: crowdCauses, Remedies: crowdRemedies,
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	connectCost(spec.Within(ctx, transfer), times(d.own == nil), d.ways())
})

func times(users bool) int {
	if users {
		return connects / 10
	}
	return connects
}

var _ = suite.It("answers 1 to 64 clients of Redis at once, every time", check.Check{
	ID: "DB-022", Grade: check.GradeFail, Benchmark: true, Needs: []check.Need{needRedis, needOwn}, Timeout: starting,
	Source: "RFC 9293 3.1; Redis documentation, PING",
	Asks:   "Has 1, 4, 16 and 64 clients send PING to Redis over 127.0.0.1 again and again for 150 ms. Every one must be answered; the rates are reported.",
	Why:    whyCrowds, Causes: crowdCauses, Remedies: crowdRemedies,
}, func(ctx SpecContext) {
	c := onlyOwnRedis(ctx)
	answersCrowds(spec.Within(ctx, transfer), c.way("redis"))
})

var _ = suite.It("answers 1 to 64 clients of PostgreSQL at once, every time", check.Check{
	ID: "DB-023", Grade: check.GradeFail, Benchmark: true, Needs: []check.Need{needPostgres, needOwn}, Timeout: starting,
	Source: "RFC 9293 3.1; PostgreSQL documentation, extended query protocol",
	Asks:   "Has 1, 4, 16 and 64 clients ask PostgreSQL for a number over 127.0.0.1 again and again for 150 ms, each by a prepared statement over its own connection. Every one must be answered with its own number; the rates are reported.",
	Why:    whyCrowds, Causes: crowdCauses, Remedies: crowdRemedies,
}, func(ctx SpecContext) {
	d := onlyOwnPostgres(ctx)
	answersCrowds(spec.Within(ctx, transfer), d.way("postgres"))
})
