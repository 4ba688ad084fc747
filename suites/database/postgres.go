package database

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/dbserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// SQLSTATEs (PostgreSQL documentation, appendix A).
const (
	wrongPassword         = "28P01"
	tooManyConnections    = "53300"
	queryCanceled         = "57014"
	readOnlyTransaction   = "25006"
	insufficientPrivilege = "42501"
)

// database is the PostgreSQL that a check asks.
type database struct {
	own    *dbserver.Server // nil for the user's
	config *pgx.ConnConfig
	addr   netip.AddrPort // not valid for a unix socket
	load   spec.Load      // since the check began to ask
}

// postgresServer returns the user's, or the run's own.
func postgresServer(ctx context.Context) database {
	GinkgoHelper()
	var d database
	if usersPostgres != nil {
		d.config, d.addr = usersPostgres.Config.Copy(), usersPostgres.Addr()
	} else {
		d.own = ownPostgres.use(ctx, needPostgres, startPostgres)
		d.addr = d.own.Addr
		var err error
		d.config, err = ownConfig(d.own)
		Expect(err).NotTo(HaveOccurred(), "lead a client to the run's own PostgreSQL")
	}
	d.load = spec.StartLoad()
	flow(d.addr)
	return d
}

// whateverIsSet says everything that pgx would else take from the PG* variables and
// from ~/.postgresql.
const whateverIsSet = "sslmode=disable sslrootcert='' sslcert='' sslkey='' sslpassword='' sslcertmode=allow sslsni=1 sslnegotiation=postgres " +
	"channel_binding=prefer require_auth='' min_protocol_version=3.0 max_protocol_version=3.0 " +
	"target_session_attrs=any connect_timeout=0 passfile=''"

// ownConfig leads to the run's own server, whatever the user's environment and home
// say of his.
func ownConfig(server *dbserver.Server) (*pgx.ConnConfig, error) {
	// A service cannot be said to be none, and one that no file has is an error.
	if service, set := os.LookupEnv("PGSERVICE"); set {
		_ = os.Unsetenv("PGSERVICE")
		defer func() { _ = os.Setenv("PGSERVICE", service) }()
	}
	config, err := pgx.ParseConfig(fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s %s",
		server.Addr.Port(), dbserver.User, server.Password, dbserver.Database, whateverIsSet))
	if err != nil {
		return nil, err
	}
	// What is for the server (PGOPTIONS, PGTZ, PGAPPNAME) goes with the rest of it.
	config.RuntimeParams = map[string]string{"application_name": "loopcheck"}
	config.ConnectTimeout = patience
	return config, nil
}

// onlyOwnPostgres is the run's own: what is asked of it would harm others who use it.
func onlyOwnPostgres(ctx context.Context) database {
	GinkgoHelper()
	if usersPostgres != nil {
		spec.Skip(needOwn, "--postgres names "+usersPostgres.String())
	}
	return postgresServer(ctx)
}

func (d database) String() string {
	if d.own == nil {
		return usersPostgres.String() + ", named by --postgres"
	}
	return "PostgreSQL at " + d.addr.String()
}

// dial makes a connection, which is left to the caller.
func (d database) dial(ctx context.Context, changes ...func(*pgx.ConnConfig)) (*pgx.Conn, error) {
	config := d.config.Copy()
	for _, change := range changes {
		change(config)
	}
	var first *heard
	dial := config.DialFunc
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		h := &heard{Conn: conn}
		if first == nil { // and not that of a cancel request
			first = h
		}
		return h, nil
	}
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil && sqlstate(err) == "" && first != nil && len(first.first) > 0 {
		err = fmt.Errorf("%w; what the server sent began with %q", err, first.first)
	}
	return conn, seen(err, d.String())
}

// heardBytes is how much is kept of what a server says first.
const heardBytes = 32

// heard keeps the beginning of what came over a connection: of one who speaks
// another protocol it tells more than where PostgreSQL's ends.
type heard struct {
	net.Conn
	first []byte
}

func (h *heard) Read(p []byte) (int, error) {
	n, err := h.Conn.Read(p)
	if more := min(n, heardBytes-len(h.first)); more > 0 {
		h.first = append(h.first, p[:more]...)
	}
	return n, err
}

// connect makes a connection that is closed with the spec.
func (d database) connect(ctx context.Context, changes ...func(*pgx.ConnConfig)) *pgx.Conn {
	GinkgoHelper()
	conn, err := d.dial(ctx, changes...)
	d.excuse(err)
	Expect(err).NotTo(HaveOccurred(), "connect to %s", d)
	DeferCleanup(func() {
		ctx, cancel := after()
		defer cancel()
		_ = conn.Close(ctx)
	})
	return conn
}

// overSocket has a connection use the unix socket.
func (d database) overSocket(c *pgx.ConnConfig) { c.Host = filepath.Dir(d.own.Socket) }

// answered judges the outcome of a statement. It skips the spec where a user's
// server does not let its user do what the question takes. Where time ran out for the
// run's own server on a machine without a processor to spare, nothing is known; a
// user's that is silent is what was asked about.
func (d database) answered(err error, format string, args ...any) {
	GinkgoHelper()
	if refusal, ok := errors.AsType[*pgconn.PgError](err); ok && d.own == nil {
		how := map[string]string{
			readOnlyTransaction:   "name the primary with --postgres: this one takes no writes",
			insufficientPrivilege: "let the user of --postgres make schemas and temporary tables: `GRANT CREATE, TEMPORARY ON DATABASE … TO …`",
		}[refusal.Code]
		if how != "" {
			spec.Skip(check.Need{Name: "a PostgreSQL that takes what is asked", How: how}, refusal.Error())
		}
	}
	err = seen(err, d.String())
	d.excuse(err)
	Expect(err).NotTo(HaveOccurred(), of(fmt.Sprintf(format, args...), d))
}

// excuse ends the spec as inconclusive where time ran out for the run's own server
// on a machine without a processor to spare.
func (d database) excuse(err error) {
	GinkgoHelper()
	if d.own != nil {
		d.load.ExcuseTimeout(err)
	}
}

// schema makes a schema of the check's own, which is removed when the check is over.
func (d database) schema(ctx context.Context) string {
	GinkgoHelper()
	name := "loopcheck_" + unlike()
	conn := d.connect(ctx)
	_, err := conn.Exec(ctx, "CREATE SCHEMA "+name)
	d.answered(err, "make a schema")
	DeferCleanup(func() {
		ctx, cancel := after()
		defer cancel()
		// Over another connection: this one may be in the middle of something.
		conn, err := d.dial(ctx)
		Expect(err).NotTo(HaveOccurred(), "connect to remove the schema %s", name)
		_, err = conn.Exec(ctx, "DROP SCHEMA "+name+" CASCADE")
		_ = conn.Close(ctx)
		Expect(err).NotTo(HaveOccurred(), "remove the schema %s", name)
	})
	return name
}

// sqlstate is the code of a server's error; "" for any other.
func sqlstate(err error) string {
	refusal, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return ""
	}
	return refusal.Code
}

var _ = suite.It("lets a client of PostgreSQL in, and answers it", check.Check{
	ID: "DB-008", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "PostgreSQL documentation, frontend/backend protocol; RFC 9293 3.5",
	Asks:   "Connects to PostgreSQL over 127.0.0.1 (or where --postgres says), gives the user's password, and asks for the sum of 1 and 1 with parameters. A server that was started for the run is asked over its unix socket as well, and has to see each client where it is: at 127.0.0.1 and the client's own port, and over the socket at no address.",
	Why:    "A database that cannot be reached on localhost is an application that does not start. Rules for addresses (pg_hba.conf) need the address that the client has.",
	Causes: refusedCauses, Remedies: refusedRemedies,
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	bounded := spec.Within(ctx, patience)
	asks := func(conn *pgx.Conn, where string) {
		var two int
		d.answered(conn.QueryRow(bounded, "SELECT $1::int + $2::int", 1, 1).Scan(&two), "SELECT %s", where)
		Expect(two).To(Equal(2), "1 + 1 %s", where)
	}
	conn := d.connect(bounded)
	asks(conn, "at "+d.String())
	spec.Evidence("server", "PostgreSQL %s", conn.PgConn().ParameterStatus("server_version"))
	// Where these fail, DB-025 tries again and says so.
	_ = d.rest(bounded)
	if d.own == nil {
		return
	}
	Expect(peer(bounded, conn)).To(Equal(conn.PgConn().Conn().LocalAddr().String()), "where the server sees the client")
	local := d.connect(bounded, d.overSocket)
	asks(local, "over the unix socket")
	Expect(peer(bounded, local)).To(Equal("no address"), "where the server sees the client of its unix socket")
})

// peer is where the server sees a connection's client.
func peer(ctx context.Context, conn *pgx.Conn) (where string, err error) {
	err = conn.QueryRow(ctx, "SELECT coalesce(host(inet_client_addr()) || ':' || inet_client_port(), 'no address')").Scan(&where)
	return where, err
}

var _ = suite.It("lets nobody into PostgreSQL without the password", check.Check{
	ID: "DB-009", Grade: check.GradeFail, Needs: []check.Need{needPostgres}, Timeout: starting,
	Source: "RFC 5802; RFC 7677 (SCRAM-SHA-256); PostgreSQL documentation, SCRAM authentication, error codes",
	Asks:   "Connects to PostgreSQL without the password, which must be asked for. Of a server that was started for the run, also over its unix socket, and with a wrong password, which must be refused with SQLSTATE 28P01. The password itself goes over no connection: the server must ask for SCRAM-SHA-256, and prove that it knows the password as well.",
	Why:    "Whatever runs on the machine reaches its loopback. Where `trust` or a proxy lets everyone in, another user, a container with the host's network or a web page by way of a local proxy reads the database.",
	Causes: []string{
		"pg_hba.conf has a line `trust` for the address, which stands before the one that was meant",
		"a proxy or pooler in between (PgBouncer, a sidecar) lets clients in by itself",
	},
	Remedies: []string{
		"see which line holds: `SELECT * FROM pg_hba_file_rules`",
		"ask for passwords: write `scram-sha-256` in the place of `trust` in pg_hba.conf, and `SELECT pg_reload_conf()`",
	},
}, func(ctx SpecContext) {
	d := postgresServer(ctx)
	if d.own == nil && d.config.Password == "" {
		spec.Skip(check.Need{Name: "a PostgreSQL that asks for a password", How: "give it in the DSN: --postgres postgres://USER:PASSWORD@HOST/DATABASE"}, usersPostgres.String()+" was named without one")
	}
	bounded := spec.Within(ctx, patience)
	without := func(c *pgx.ConnConfig) { c.Password = "" }
	refused := func(why string, changes ...func(*pgx.ConnConfig)) error {
		conn, err := d.dial(bounded, changes...)
		if err == nil {
			_ = conn.Close(bounded)
		}
		Expect(err).To(HaveOccurred(), why)
		return err
	}
	err := refused("a client without a password was to be refused", without)
	Expect(sqlstate(err) == wrongPassword || strings.Contains(err.Error(), "SASL") || strings.Contains(err.Error(), "password")).
		To(BeTrueBecause("a client without a password was to be asked for one, and saw: %v", err))
	if d.own == nil {
		return
	}
	wrong := func(c *pgx.ConnConfig) { c.Password = "not " + c.Password }
	Expect(sqlstate(refused("a wrong password was to be refused", wrong))).To(Equal(wrongPassword), "SQLSTATE for a wrong password")
	Expect(sqlstate(refused("a wrong password was to be refused over the unix socket", d.overSocket, wrong))).To(Equal(wrongPassword), "SQLSTATE for a wrong password over the unix socket")
	asked, err := asksFor(bounded, d.addr)
	Expect(err).NotTo(HaveOccurred(), "ask for a session")
	Expect(asked).To(Equal("SASL"), "how the server asks for the password")
})

var _ = suite.It("speaks TLS with PostgreSQL, bound to its certificate, and with nobody whose certificate is not trusted", check.Check{
	ID: "DB-016", Grade: check.GradeFail, Needs: []check.Need{needPostgres, needOwn}, Timeout: starting,
	Source: "RFC 8446; RFC 5280 6; PostgreSQL documentation, SSLRequest and SSL support",
	Asks:   "Makes a certificate for localhost and 127.0.0.1, starts PostgreSQL with it, connects as with sslmode=verify-full, and reads 1 MiB: the server must say that the connection is encrypted (pg_stat_ssl) and the bytes must be the same. A client that trusts another authority must end the handshake.",
	Why:    "Between containers and in front of sidecars a local connection is often encrypted as policy asks. A client that takes any certificate gives its data to whoever has the port.",
	Causes: tlsCauses, Remedies: tlsRemedies,
}, func(ctx SpecContext) {
	d := onlyOwnPostgres(ctx)
	bounded := spec.Within(ctx, transfer)
	conn := d.connect(bounded, func(c *pgx.ConnConfig) {
		c.TLSConfig = &tls.Config{RootCAs: d.own.Authority, ServerName: "localhost"}
	})
	var encrypted bool
	d.answered(conn.QueryRow(bounded, "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&encrypted), "SELECT over TLS")
	Expect(encrypted).To(BeTrueBecause("the server was to see an encrypted connection"))
	var read []byte
	sent := randomBytes(1 << 20)
	d.answered(conn.QueryRow(bounded, "SELECT $1::bytea", sent).Scan(&read), "1 MiB over TLS")
	Expect(sum(read)).To(Equal(sum(sent)), "what came back over TLS")

	stranger, err := d.dial(bounded, func(c *pgx.ConnConfig) { c.TLSConfig = &tls.Config{ServerName: "localhost", RootCAs: noAuthority} })
	if err == nil {
		_ = stranger.Close(bounded)
	}
	Expect(isUntrusted(err)).To(BeTrueBecause("a client that does not trust the certificate has to end the handshake, and saw: %v", err))
})

// dialer is what raw connections are made by.
var dialer = net.Dialer{Timeout: patience}
