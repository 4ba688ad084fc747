package database

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("gives back from PostgreSQL the values that were written, of up to 1 MiB", check.Check{
	ID: "DB-010", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "PostgreSQL documentation, bytea, text, sha256, server_encoding; RFC 9293 3.1 (all data is delivered, in order)",
	Asks:   "Inserts byte strings of 0 bytes to 1 MiB that hold every byte value, and a text of characters of one to four bytes, into a temporary table. What the server says of the length and the SHA-256 of each must be what was sent, and what is read back must have the same. A server whose encoding is not UTF8 gets no text, and one older than PostgreSQL 11 is not asked for the SHA-256.",
	Why:    "A value that comes back altered or cut is worse than one that is missing: it is used, and backed up.",
	Causes: alteredCauses, Remedies: alteredRemedies,
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	bounded := spec.Within(ctx, transfer)
	conn := d.connect(bounded)
	_, err := conn.Exec(bounded, "CREATE TEMPORARY TABLE loopcheck_values (id int PRIMARY KEY, value bytea, word text)")
	d.answered(err, "make a temporary table")
	var encoding string
	var hashes bool // since PostgreSQL 11
	settings := conn.QueryRow(bounded, "SELECT current_setting('server_encoding'), current_setting('server_version_num')::int >= 110000")
	d.answered(settings.Scan(&encoding, &hashes), "ask for the encoding and the version")
	spec.Evidence("server encoding", "%s", encoding)
	hash := "NULL::bytea"
	if hashes {
		hash = "sha256(value)"
	}
	for id, size := range valueSizes {
		written, word := randomBytes(size), ""
		if encoding == "UTF8" {
			word = strings.Repeat("aß€𝄞", size/10)
		}
		_, err := conn.Exec(bounded, "INSERT INTO loopcheck_values VALUES ($1, $2, $3)", id, written, word)
		d.answered(err, "INSERT of %d bytes", size)
		var length, characters int
		var wordRead string
		var digest, read []byte
		row := conn.QueryRow(bounded, "SELECT length(value), "+hash+", value, length(word), word FROM loopcheck_values WHERE id = $1", id)
		d.answered(row.Scan(&length, &digest, &read, &characters, &wordRead), "SELECT of %d bytes", size)
		Expect(length).To(Equal(size), "the length that the server has of %d bytes", size)
		if hashes {
			own := sha256.Sum256(written)
			Expect(digest).To(Equal(own[:]), "the SHA-256 that the server has of %d bytes", size)
		}
		Expect(sum(read)).To(Equal(sum(written)), "what was read of %d bytes", size)
		Expect(characters).To(Equal(utf8.RuneCountInString(word)), "the characters that the server has of a text")
		Expect(sum([]byte(wordRead))).To(Equal(sum([]byte(word))), "what was read of a text")
	}
})

// copied is how many rows are copied in and out.
const copied = 100_000

// rows yields the rows of the copy.
type rows struct{ next int }

func (r *rows) Next() bool { r.next++; return r.next <= copied }
func (r *rows) Err() error { return nil }
func (r *rows) Values() ([]any, error) {
	return []any{int32(r.next), row(r.next)}, nil
}

func row(id int) string { return "row " + strconv.Itoa(id) + "\tof a\\copy\n" }

var _ = suite.It("copies 100,000 rows into PostgreSQL and out again", check.Check{
	ID: "DB-011", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "PostgreSQL documentation, COPY; RFC 9293 3.1 (all data is delivered, in order)",
	Asks:   "Copies 100,000 rows of a number and a text into a temporary table in PostgreSQL's binary format, which the server must count, and out again as text: each must be there once, in order, and unaltered.",
	Why:    "Dumps, migrations and analytics move a database this way, at the highest rate that loopback sees. A row that is lost is missed weeks later.",
	Causes: alteredCauses, Remedies: alteredRemedies,
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	bounded := spec.Within(ctx, transfer)
	load := spec.StartLoad()
	conn := d.connect(bounded)
	_, err := conn.Exec(bounded, "CREATE TEMPORARY TABLE loopcheck_rows (id int, word text)")
	d.answered(err, "make a temporary table")
	counted, err := conn.CopyFrom(bounded, pgx.Identifier{"loopcheck_rows"}, []string{"id", "word"}, &rows{})
	load.ExcuseTimeout(err)
	d.answered(err, "COPY FROM of %d rows", copied)
	Expect(counted).To(BeEquivalentTo(copied), "rows that the server took")
	out := &rowReader{}
	_, err = conn.PgConn().CopyTo(bounded, out, "COPY (SELECT id, word FROM loopcheck_rows ORDER BY id) TO STDOUT")
	load.ExcuseTimeout(err)
	d.answered(errors.Join(err, out.err), "COPY TO of %d rows", copied)
	Expect(out.seen).To(Equal(copied), "rows that came back")
})

// rowReader holds what a copy as text brings against the rows that were sent.
type rowReader struct {
	rest string
	seen int
	err  error
}

// escaped is how COPY writes a text (PostgreSQL documentation, COPY, text format).
var escaped = strings.NewReplacer("\\", `\\`, "\t", `\t`, "\n", `\n`)

func (r *rowReader) Write(p []byte) (int, error) {
	r.rest += string(p)
	for {
		line, rest, whole := strings.Cut(r.rest, "\n")
		if !whole {
			return len(p), nil
		}
		r.rest = rest
		r.seen++
		if want := strconv.Itoa(r.seen) + "\t" + escaped.Replace(row(r.seen)); line != want && r.err == nil {
			r.err = fmt.Errorf("row %d is %q, not %q", r.seen, line, want)
		}
	}
}

var _ = suite.It("rolls a transaction of PostgreSQL back whose connection is cut, and gives its locks away", check.Check{
	ID: "DB-012", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "PostgreSQL documentation, transactions and ROLLBACK; RFC 9293 3.10.7.4 (RST)",
	Asks:   "In a table of a schema of the check's own, commits a row, then inserts another in a transaction that holds the table's lock, and cuts the connection by an RST in its middle. Another client, which waits for the lock, must be given it within 3 seconds and find the committed row alone. The schema is removed.",
	Why:    "A client that crashes must not leave half of a payment, nor its locks. Where the server does not learn of the end of a connection, both stay until keepalive tells it, two hours later by default.",
	Causes: []string{
		"a firewall drops the RST on lo, so that the server does not learn that its client is gone",
		"a pooler or proxy in between keeps the session of the server open",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see which sessions idle in a transaction: `SELECT pid, state, xact_start FROM pg_stat_activity WHERE state LIKE 'idle in%'`",
		"have the server look whether its clients are there: `tcp_keepalives_idle = 60`, `client_connection_check_interval = 10s`, `idle_in_transaction_session_timeout`",
	},
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	bounded := spec.Within(ctx, transfer)
	load := spec.StartLoad()
	table := d.schema(bounded) + ".payments"
	conn, victim := d.connect(bounded), d.connect(bounded)
	for _, statement := range []struct {
		by   *pgx.Conn
		text string
	}{
		{conn, "CREATE TABLE " + table + " (id int)"},
		{conn, "INSERT INTO " + table + " VALUES (1)"},
		{victim, "BEGIN"},
		{victim, "LOCK TABLE " + table + " IN ACCESS EXCLUSIVE MODE"},
		{victim, "INSERT INTO " + table + " VALUES (2)"},
	} {
		_, err := statement.by.Exec(bounded, statement.text)
		d.answered(err, "%s", statement.text)
	}
	Expect(cut(victim)).To(Succeed(), "cut the connection")
	waiting, cancel := context.WithTimeout(bounded, patience)
	defer cancel()
	var ids []int32
	err := conn.QueryRow(waiting, "SELECT array_agg(id) FROM "+table).Scan(&ids)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "the lock of a client whose connection was cut was to be given away within %v", patience)
	Expect(ids).To(Equal([]int32{1}), "rows after a transaction was cut off")
})

const (
	prepared   = 1_000
	batched    = 2_000
	notified   = 500
	notifyText = 1_000 // bytes, of the 8,000 that there may be
)

var _ = suite.It("answers prepared and pipelined queries of PostgreSQL in their order, and goes on behind one that fails", check.Check{
	ID: "DB-013", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "PostgreSQL documentation, extended query protocol and pipelining",
	Asks:   "Prepares a statement and runs it 1,000 times with other parameters, then sends 2,000 runs in one pipeline: each must be answered with its own result. In a second pipeline one of three queries divides by zero: it alone and those behind it must fail, by SQLSTATE 22012, and the connection must serve the next query.",
	Why:    "Drivers prepare and pipeline by themselves, and match answers to queries by order alone. One that is lost or doubled gives every later caller somebody else's rows.",
	Causes: append([]string{"a pooler in between gives each transaction another session (PgBouncer, pool_mode = transaction), which has no such statement"}, alteredCauses...), Remedies: alteredRemedies,
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	bounded := spec.Within(ctx, transfer)
	conn := d.connect(bounded)
	_, err := conn.Prepare(bounded, "loopcheck_square", "SELECT $1::bigint * $1")
	d.answered(err, "prepare a statement")
	for n := range int64(prepared) {
		var square int64
		d.answered(conn.QueryRow(bounded, "loopcheck_square", n).Scan(&square), "run %d of a prepared statement", n+1)
		Expect(square).To(Equal(n*n), "the square of %d", n)
	}
	batch := &pgx.Batch{}
	for n := range int64(batched) {
		batch.Queue("loopcheck_square", n)
	}
	results := conn.SendBatch(bounded, batch)
	for n := range int64(batched) {
		var square int64
		d.answered(results.QueryRow().Scan(&square), "query %d of one pipeline", n+1)
		Expect(square).To(Equal(n*n), "the answer to query %d of one pipeline", n+1)
	}
	d.answered(results.Close(), "the end of a pipeline")

	failing := &pgx.Batch{}
	failing.Queue("SELECT 1")
	failing.Queue("SELECT 1 / $1::int", 0)
	failing.Queue("SELECT 3")
	results = conn.SendBatch(bounded, failing)
	var one int
	d.answered(results.QueryRow().Scan(&one), "the query before one that fails")
	err = results.QueryRow().Scan(new(int))
	Expect(sqlstate(err)).To(Equal("22012"), "SQLSTATE of a division by zero in a pipeline (%v)", err)
	Expect(results.QueryRow().Scan(new(int))).NotTo(Succeed(), "the query behind one that failed")
	_ = results.Close() // which repeats the error
	d.answered(conn.QueryRow(bounded, "SELECT 1").Scan(&one), "a query after a pipeline that failed")
})

var _ = suite.It("delivers every NOTIFY of PostgreSQL to who listens, once and in order", check.Check{
	ID: "DB-014", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "PostgreSQL documentation, NOTIFY and LISTEN",
	Asks:   "Has one client LISTEN to a channel of the check's own, and another send 500 notifications of 1,000 bytes, half of them in a transaction that is rolled back. Those of the other half must be delivered once, in order and with the sender's process, and none of the others.",
	Why:    "Job queues and caches wait for a notification over a connection that is idle for hours. One that does not arrive is a job that nobody does.",
	Causes: append([]string{"a pooler in between gives each transaction another session, which does not listen"}, alteredCauses...), Remedies: alteredRemedies,
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	bounded := spec.Within(ctx, transfer)
	channel := "loopcheck_" + unlike()
	listener, sender := d.connect(bounded), d.connect(bounded)
	_, err := listener.Exec(bounded, "LISTEN "+channel)
	d.answered(err, "LISTEN")
	payload := func(n int) string { return strconv.Itoa(n) + strings.Repeat("x", notifyText) }
	send := func(from, to int, end string) {
		_, err := sender.Exec(bounded, "BEGIN")
		d.answered(err, "BEGIN")
		for n := from; n < to; n++ {
			_, err = sender.Exec(bounded, "SELECT pg_notify($1, $2)", channel, payload(n))
			d.answered(err, "NOTIFY %d", n+1)
		}
		_, err = sender.Exec(bounded, end)
		d.answered(err, "%s", end)
	}
	send(notified/2, notified, "ROLLBACK")
	send(0, notified/2, "COMMIT")
	for n := range notified / 2 {
		got, err := listener.WaitForNotification(bounded)
		d.answered(err, "await notification %d of %d", n+1, notified/2)
		Expect(sum([]byte(got.Payload))).To(Equal(sum([]byte(payload(n)))), "notification %d", n+1)
		Expect(got.PID).To(Equal(sender.PgConn().PID()), "the sender of notification %d", n+1)
	}
})

var _ = suite.It("cancels a query of PostgreSQL at once, by a connection of its own", check.Check{
	ID: "DB-015", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "PostgreSQL documentation, canceling requests in progress, error codes (57014)",
	Asks:   "Starts a query that sleeps for a minute, and when another client sees it run, sends the request to cancel it over a connection of its own. Within 3 seconds the query must end with SQLSTATE 57014, and its connection serve the next one.",
	Why:    "Timeouts of drivers and the Ctrl-C of a user end a query this way. Where the second connection does not come through, the query goes on for nobody, and holds its locks.",
	Causes: []string{
		"a firewall limits new connections to the port, so that the second one does not come through",
		"a pooler or load balancer sends the request to another server, which does not know the query",
	},
	Remedies: []string{
		spec.LetLoopbackPass,
		"see which rules limit connections: `nft list ruleset | grep -E 'ct count|limit'`",
	},
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	bounded := spec.Within(ctx, transfer)
	load := spec.StartLoad()
	sleeper, watcher := d.connect(bounded), d.connect(bounded)
	ended := make(chan error, 1)
	go func() {
		_, err := sleeper.Exec(bounded, "SELECT pg_sleep(60)")
		ended <- err
	}()
	Eventually(func() (running bool, err error) {
		err = watcher.QueryRow(bounded, "SELECT state = 'active' AND query LIKE '%pg_sleep%' FROM pg_stat_activity WHERE pid = $1", int32(sleeper.PgConn().PID())).Scan(&running)
		return running, err
	}).WithContext(bounded).Should(BeTrueBecause("the query was to begin"))
	Expect(seen(sleeper.PgConn().CancelRequest(bounded), d.String())).To(Succeed(), "send a cancel request")
	select {
	case err := <-ended:
		load.ExcuseTimeout(err)
		Expect(sqlstate(err)).To(Equal(queryCanceled), "SQLSTATE of a query that was cancelled (%v)", err)
	case <-spec.Within(bounded, patience).Done():
		if how, starved := load.Starved(); starved {
			spec.Inconclusive("the query goes on %v after it was cancelled, but %s", patience, how)
		}
		Fail(fmt.Sprintf("the query goes on %v after it was cancelled", patience))
	}
	var one int
	d.answered(sleeper.QueryRow(bounded, "SELECT 1").Scan(&one), "a query after one that was cancelled")
})
