package database

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/dbserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// beforeDeath is how many writes are confirmed before the server is killed in
	// the middle of the next ones.
	beforeDeath = 100
	// atOnce is how soon clients learn of the server's end, which the kernel tells
	// them in microseconds. It is below the second after which TCP would ask again.
	atOnce = 900 * time.Millisecond
)

// outcome is how something ended that only an error ends.
type outcome struct {
	err   error
	ended time.Time
}

// waiting waits for something that does not come, until it learns that it never
// will.
func waiting(wait func() error) <-chan outcome {
	over := make(chan outcome, 1)
	go func() {
		err := wait()
		over <- outcome{err, time.Now()}
	}()
	return over
}

// writing writes one after the other until an error, and counts those that were
// confirmed.
type writing struct {
	enough chan struct{} // closed after beforeDeath of them
	over   <-chan outcome
	count  int64 // to be read when it is over
}

func write(ctx context.Context, one func(ctx context.Context, n int64) error) *writing {
	w := &writing{enough: make(chan struct{})}
	w.over = waiting(func() error {
		for {
			if err := one(ctx, w.count+1); err != nil {
				return err
			}
			if w.count++; w.count == beforeDeath {
				close(w.enough)
			}
		}
	})
	return w
}

// dies kills the server while one client writes and another waits. Both have to
// learn of it at once, by the end of their connections, and a new one be refused.
func dies(ctx context.Context, server *dbserver.Server, w *writing, idle <-chan outcome, connect func(context.Context) error) {
	GinkgoHelper()
	load := spec.StartLoad()
	select {
	case <-w.enough:
	case o := <-w.over:
		load.ExcuseTimeout(o.err)
		Fail(fmt.Sprintf("write %d before the server was killed: %v", w.count+1, o.err))
	}
	killed := time.Now()
	Expect(server.Kill(ctx)).To(Succeed(), "kill the server")
	learns("a client that writes", w.over, killed, load)
	learns("a client that waits", idle, killed, load)
	Expect(connect(ctx)).To(MatchError(syscall.ECONNREFUSED), "connect while the server is dead")

	began := time.Now()
	Expect(server.Restart(ctx)).To(Succeed(), "start the server again")
	spec.Measure("restarted_after_ns", float64(time.Since(began).Nanoseconds()))
}

// learns expects that a client learns of the server's end at once.
func learns(who string, over <-chan outcome, killed time.Time, load spec.Load) {
	GinkgoHelper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	late, how := patience, "it waits still"
	select {
	case o := <-over:
		late, how = o.ended.Sub(killed), o.err.Error()
	case <-limit.C:
	}
	if why, starved := load.Starved(); starved && late > atOnce {
		spec.Inconclusive("%s was to learn of the server's end within %v, and %v after it: %s; but %s", who, atOnce, late.Round(time.Millisecond), how, why)
	}
	Expect(late).To(BeNumerically("<=", atOnce), "how long after the server was killed %s learnt of it (%s)", who, how)
	spec.Evidence(who, "learnt of it after %v: %s", late.Round(10*time.Microsecond), how)
	spec.Measure(strings.TrimPrefix(who, "a client that ")+"_noticed_after_ns", float64(late.Nanoseconds()))
}

var (
	deathCauses = []string{
		"a firewall drops the FIN or RST on lo, so that clients do not learn that the server is gone",
		"a rule drops what goes to a closed port in the place of having it refused",
		"a proxy or pooler in between keeps connections of a server that is dead",
	}
	deathRemedies = []string{
		spec.LetLoopbackPass,
		"see which connections are left without a peer: `ss -tanp state established '( sport = :PORT or dport = :PORT )'`",
	}
)

const whyDeath = "Databases are killed: by the kernel when memory runs out, by an upgrade, by an orchestrator. Clients that learn of it at once connect anew; those that do not hang until a timeout of minutes. What was confirmed has to be there afterwards."

var _ = suite.It("tells clients of Redis at once that it was killed, and has what was confirmed when it is back", check.Check{
	ID: "DB-026", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{needRedis, needOwn}, Timeout: starting,
	Source: "RFC 9293 3.6, 3.10.7 (FIN, RST); Redis documentation, persistence (AOF)",
	Asks:   "Kills a Redis that was started for the run by SIGKILL, while one client counts up a key and another waits for a list. Both connections must end within 900 ms, and a new one be refused. The server is started again: the client that counted must be served without being told to connect anew, and the key hold what was confirmed, or one more.",
	Why:    whyDeath, Causes: deathCauses, Remedies: deathRemedies,
}, func(ctx SpecContext) {
	c := onlyOwnRedis(ctx)
	bounded := spec.Within(ctx, transfer)
	client, other := c.client(), c.client()
	c.answered(other.Ping(bounded).Err(), "PING")
	key := c.key(client, "counter")
	idle := waiting(func() error { return other.BLPop(bounded, 0, c.prefix+"nothing").Err() })
	w := write(bounded, func(ctx context.Context, _ int64) error { return client.Incr(ctx, key).Err() })
	dies(bounded, c.own, w, idle, func(ctx context.Context) error {
		_, err := dialer.DialContext(ctx, "tcp", c.addr.String())
		return err
	})
	// The first may meet a connection that was still thought to be good.
	var value int64
	Eventually(func() (err error) { value, err = client.Get(bounded, key).Int64(); return err }).
		WithContext(bounded).Should(Succeed(), "GET by the same client after the server is back")
	Expect(value).To(Or(Equal(w.count), Equal(w.count+1)), "the key of which %d increments were confirmed", w.count)
})

var _ = suite.It("tells clients of PostgreSQL at once that it was killed, and has what was committed when it is back", check.Check{
	ID: "DB-027", Grade: check.GradeFail, OS: "linux", Needs: []check.Need{needPostgres, needOwn}, Timeout: starting,
	Source: "RFC 9293 3.6, 3.10.7 (FIN, RST); PostgreSQL documentation, write-ahead logging",
	Asks:   "Kills a PostgreSQL that was started for the run, and all its processes, by SIGKILL, while one client commits row after row and another waits for a query. Both connections must end within 900 ms, and a new one be refused. The server is started again, and recovers: every row that was committed must be there, and at most one that was not confirmed.",
	Why:    whyDeath, Causes: deathCauses, Remedies: deathRemedies,
}, func(ctx SpecContext) {
	d := onlyOwnPostgres(ctx)
	bounded := spec.Within(ctx, 2*transfer)
	table := "loopcheck_" + unlike()
	conn, other := d.connect(bounded), d.connect(bounded)
	_, err := conn.Exec(bounded, "CREATE TABLE "+table+" (id bigint PRIMARY KEY)")
	d.answered(err, "make a table")
	idle := waiting(func() error { _, err := other.Exec(bounded, "SELECT pg_sleep(60)"); return err })
	w := write(bounded, func(ctx context.Context, n int64) error {
		_, err := conn.Exec(ctx, "INSERT INTO "+table+" VALUES ($1)", n)
		return err
	})
	dies(bounded, d.own, w, idle, func(ctx context.Context) error {
		conn, err := d.dial(ctx)
		if err == nil {
			return errors.Join(errors.New("a connection was made"), conn.Close(ctx))
		}
		return err
	})
	again := d.connect(bounded)
	var count, last int64
	d.answered(again.QueryRow(bounded, "SELECT count(*), max(id) FROM "+table).Scan(&count, &last), "count the rows")
	Expect(last).To(Or(Equal(w.count), Equal(w.count+1)), "the last row, of %d that were committed", w.count)
	Expect(count).To(Equal(last), "rows up to the last one")
})
