package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/gomega"
	"github.com/redis/go-redis/v9"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/harness/report/reporttest"
	"github.com/loopcheck/loopcheck/probe/dbserver"
)

// usersServers are servers that stand for a user's own.
func usersServers(t *testing.T) (postgres, redis *dbserver.Server) {
	t.Helper()
	k, err := dbserver.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = k.Close() })
	redis, redisErr := k.Redis(t.Context())
	postgres, postgresErr := k.Postgres(t.Context())
	for _, err := range []error{redisErr, postgresErr} {
		if missing, ok := errors.AsType[*dbserver.MissingError](err); ok {
			t.Skip(missing)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return postgres, redis
}

func dsnOf(s *dbserver.Server, password string) string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s", dbserver.User, password, s.Addr, dbserver.Database)
}

func urlOf(s *dbserver.Server, password string) string {
	return fmt.Sprintf("redis://%s:%s@%s", dbserver.User, password, s.Addr)
}

// databaseRun runs the suite and returns its report, and all that was written.
func databaseRun(t *testing.T, args ...string) (*report.Report, string) {
	t.Helper()
	cmd := loopcheck(t, append([]string{"run", "--suite", "database", "--json", "--out", ""}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // whose verdict is in the report
	if err := reporttest.Check(stdout.Bytes()); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var r report.Report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return &r, stdout.String() + stderr.String()
}

// onlyOwn are the checks that a user's server is spared.
var onlyOwn = []string{"DB-006", "DB-007", "DB-016", "DB-017", "DB-022", "DB-023", "DB-026", "DB-027"}

// leavesNothing fails the test where a user's servers hold something.
func leavesNothing(t *testing.T, postgres, cache *dbserver.Server) {
	t.Helper()
	g := NewWithT(t)
	conn, err := pgx.Connect(t.Context(), dsnOf(postgres, postgres.Password))
	g.Expect(err).NotTo(HaveOccurred())
	defer conn.Close(t.Context())
	var relations int
	g.Expect(conn.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM pg_namespace WHERE nspname LIKE 'loopcheck%') + (SELECT count(*) FROM pg_class WHERE relname LIKE 'loopcheck%')").Scan(&relations)).To(Succeed())
	g.Expect(relations).To(BeZero(), "schemas and tables that are left")
	options, err := redis.ParseURL(urlOf(cache, cache.Password))
	g.Expect(err).NotTo(HaveOccurred())
	client := redis.NewClient(options)
	defer client.Close()
	g.Expect(client.DBSize(t.Context()).Result()).To(BeZero(), "keys that are left")
}

func TestUsersDatabasesAreAskedAndLeftAsTheyWere(t *testing.T) {
	postgres, cache := usersServers(t)
	g := NewWithT(t)
	// What psql takes, and the server knows not.
	const psqls = "?keepalives=1&gssencmode=disable&client_encoding=auto&fallback_application_name=app"
	r, text := databaseRun(t, "--postgres", dsnOf(postgres, postgres.Password)+psqls, "--redis="+urlOf(cache, cache.Password))
	spared := map[string]bool{}
	for _, id := range onlyOwn {
		spared[id] = true
	}
	for _, c := range r.Checks {
		want := check.Pass
		if spared[c.ID] {
			want = check.Skip
		}
		g.Expect(c.State).To(Or(Equal(want), Equal(check.Inconclusive)), "%s: %s", c.ID, c.Message)
	}
	g.Expect(text).NotTo(ContainSubstring(postgres.Password))
	g.Expect(strings.Join(r.Command, " ")).To(HaveSuffix("--postgres postgres:%s (user loopcheck, database postgres) --redis=redis:%s", postgres.Addr, cache.Addr))
	leavesNothing(t, postgres, cache)
	// Both still run, with whoever else used them.
	g.Expect(postgres.Log(t.Context())).NotTo(ContainSubstring("terminat"))
}

// A user who presses Ctrl-C finds nothing left of the check under way.
func TestUsersDatabasesAreLeftAsTheyWereAfterCtrlC(t *testing.T) {
	postgres, cache := usersServers(t)
	for _, id := range []string{"DB-003", "DB-004", "DB-012"} {
		cmd := loopcheck(t, "run", "--suite", "database", "--postgres", dsnOf(postgres, postgres.Password), "--redis", urlOf(cache, cache.Password))
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		awaitJournal(t, cmd.Dir, `"began":"`+id+`"`)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if code := cmd.ProcessState.ExitCode(); code != exitInterrupted {
			t.Errorf("stopped in %s: exit code %d", id, code)
		}
		leavesNothing(t, postgres, cache)
	}
}

// fake serves each connection by a function, until the test ends.
func fake(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				serve(conn)
			}()
		}
	}()
	return listener.Addr().String()
}

func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func garbage(conn net.Conn) {
	_, _ = io.WriteString(conn, strings.Repeat("HTTP/1.1 400 Bad Request\r\n", 100))
	_, _ = io.Copy(io.Discard, conn)
}

// mirror says what it hears, passwords as well.
func mirror(conn net.Conn) {
	heard := make([]byte, 4096)
	for {
		n, err := conn.Read(heard)
		if err != nil {
			return
		}
		_, _ = fmt.Fprintf(conn, "-ERR %q\r\n", heard[:n])
	}
}

// gone ends the connection when it has heard something.
func gone(conn net.Conn) { _, _ = conn.Read(make([]byte, 4096)) }

func TestBadServersFailWithWhatWasSeen(t *testing.T) {
	const password = "the-secret-password"
	postgres, cache := usersServers(t)
	redisAt := func(at string) []string { return []string{"--redis", "redis://u:" + password + "@" + at} }
	postgresAt := func(at string) []string {
		return []string{"--postgres", "postgres://u:" + password + "@" + at + "/x?sslmode=disable"}
	}
	for name, c := range map[string]struct {
		args []string
		id   string
		seen string
	}{
		"Redis, wrong password":       {[]string{"--redis", urlOf(cache, password)}, "DB-001", "WRONGPASS"},
		"Redis, silent":               {redisAt(fake(t, silent)), "DB-001", "takes the connection and does not answer in time"},
		"Redis, garbage":              {redisAt(fake(t, garbage)), "DB-001", "HTTP/1.1 400 Bad Request"},
		"Redis, a mirror":             {redisAt(fake(t, mirror)), "DB-001", "xxxxx"},
		"Redis, gone":                 {redisAt(fake(t, gone)), "DB-001", "EOF"},
		"Redis, nobody":               {redisAt("127.0.0.1:1"), "DB-001", "connection refused"},
		"PostgreSQL, wrong password":  {[]string{"--postgres", dsnOf(postgres, password)}, "DB-008", "password authentication failed"},
		"PostgreSQL, silent":          {postgresAt(fake(t, silent)), "DB-008", "takes the connection and does not answer in time"},
		"PostgreSQL, silent over TLS": {[]string{"--postgres", "postgres://u:" + password + "@" + fake(t, silent) + "/x"}, "DB-008", "takes the connection and does not answer in time"},
		"PostgreSQL, garbage":         {postgresAt(fake(t, garbage)), "DB-008", `began with "HTTP/1.1 400 Bad Request`},
		"PostgreSQL, gone":            {postgresAt(fake(t, gone)), "DB-008", "EOF"},
		"PostgreSQL, nobody":          {postgresAt("127.0.0.1:1"), "DB-008", "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r, text := databaseRun(t, append(c.args, "--label-filter", c.id)...)
			g.Expect(text).NotTo(ContainSubstring(password))
			g.Expect(r.Checks).To(HaveLen(1))
			g.Expect(r.Checks[0].State).To(Equal(check.Fail))
			g.Expect(r.Checks[0].Message).To(ContainSubstring(c.seen))
			g.Expect(r.Checks[0].Duration).To(BeNumerically("<", 20*time.Second))
		})
	}
}
