package database

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/dbserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// noAuthority is whom a client trusts that trusts nobody.
var noAuthority = x509.NewCertPool()

// asksFor is how the server asks for the password of a session, as pgproto3 calls
// it.
func asksFor(ctx context.Context, to netip.AddrPort) (string, error) {
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	if deadline, has := ctx.Deadline(); has {
		_ = conn.SetDeadline(deadline)
	}
	frontend := pgproto3.NewFrontend(conn, conn)
	frontend.Send(&pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30,
		Parameters:      map[string]string{"user": dbserver.User, "database": dbserver.Database},
	})
	if err := frontend.Flush(); err != nil {
		return "", err
	}
	message, err := frontend.Receive()
	switch message := message.(type) {
	case *pgproto3.AuthenticationSASL:
		return "SASL", nil
	case *pgproto3.AuthenticationOk:
		return "nothing", nil
	case *pgproto3.ErrorResponse:
		return "", errors.New(message.Message)
	case nil:
		return "", err
	default:
		return fmt.Sprintf("%T", message), nil
	}
}

// beneath is the kernel's connection under what pgx and the checks put over it.
func beneath(conn net.Conn) net.Conn {
	if encrypted, is := conn.(*tls.Conn); is {
		conn = encrypted.NetConn()
	}
	if h, is := conn.(*heard); is {
		conn = h.Conn
	}
	return conn
}

// cut ends a connection by an RST in the middle of whatever it does.
func cut(conn *pgx.Conn) error {
	under := beneath(conn.PgConn().Conn())
	if tcp, is := under.(*net.TCPConn); is {
		// The kernel sends RST in the place of FIN (socket(7), SO_LINGER).
		if err := tcp.SetLinger(0); err != nil {
			return err
		}
	}
	return under.Close()
}

var _ = suite.It("turns away from PostgreSQL a client more than it has room for with SQLSTATE 53300, and lets one in when another leaves", check.Check{
	ID: "DB-017", Grade: check.GradeFail, Needs: []check.Need{needPostgres, needOwn}, Timeout: starting,
	Source: "PostgreSQL documentation, max_connections, error codes (53300)",
	Asks:   "Connects to a PostgreSQL that was started with max_connections 80 until one is turned away, which must be no later than the 81st, by SQLSTATE 53300 (too_many_connections). When one of the others has left, the next must be let in. Those that were let in must be answered all the while.",
	Why:    "A pool that is too large, or a leak, shows as this error in a service that is innocent. Where the connection just hangs or is reset in its place, nobody learns what to raise.",
	Causes: []string{
		"a firewall limits connections to the port (ct count, connlimit, limit rate) and drops those beyond",
		"the user may not start as many processes as the server needs (RLIMIT_NPROC, pids.max)",
	},
	Remedies: []string{
		"see which rules count connections: `nft list ruleset | grep -E 'ct count|limit'`, `iptables-save | grep -E 'connlimit|hashlimit'`",
		"see who is connected: `SELECT usename, application_name, client_addr, state FROM pg_stat_activity`",
	},
}, func(ctx SpecContext) {
	d := onlyOwnPostgres(ctx)
	bounded := spec.Within(ctx, transfer)
	load := spec.StartLoad()
	inside := d.connect(bounded)
	var held []*pgx.Conn
	DeferCleanup(func() {
		ctx, cancel := after()
		defer cancel()
		for _, conn := range held {
			_ = conn.Close(ctx)
		}
	})
	var turnedAway error
	for range dbserver.Clients {
		conn, err := d.dial(bounded)
		if err != nil {
			turnedAway = err
			break
		}
		held = append(held, conn)
	}
	load.ExcuseTimeout(turnedAway)
	Expect(sqlstate(turnedAway)).To(Equal(tooManyConnections), "SQLSTATE for the client after the first %d (%v)", len(held)+1, turnedAway)
	spec.Measure("clients_let_in", float64(len(held)+1))
	var one int
	d.answered(inside.QueryRow(bounded, "SELECT 1").Scan(&one), "SELECT while the server is full")
	d.answered(held[0].Close(bounded), "leave")
	held = held[1:]
	Eventually(func() error {
		conn, err := d.dial(bounded)
		if err == nil {
			held = append(held, conn)
		}
		return err
	}).WithContext(bounded).Should(Succeed(), "connect after another client has left")
})
