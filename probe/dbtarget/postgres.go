package dbtarget

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"path"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const writePostgres = "postgres://USER:PASSWORD@127.0.0.1:5432/DATABASE, or 'host=/run/postgresql user=USER dbname=DATABASE'"

// Postgres is a PostgreSQL server.
type Postgres struct {
	// Config leads to the server. The caller copies it to change it.
	Config *pgx.ConnConfig
}

// ParsePostgres reads a DSN in either form of PostgreSQL's
// (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING).
// What it leaves open is taken from where psql takes it: the environment, service
// and password files. The errors are a *MalformedError, an *ElsewhereError and an
// *UnknownError.
func ParsePostgres(dsn string) (*Postgres, error) {
	if dsn == "" {
		return nil, &MalformedError{Why: "it is empty", Write: writePostgres}
	}
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, &MalformedError{Why: "it is no DSN of PostgreSQL's" + reason(dsn, err), Write: writePostgres}
	}
	known := map[string][]string{}
	hosts := []string{config.Host}
	for _, fallback := range config.Fallbacks {
		hosts = append(hosts, fallback.Host)
	}
	for _, host := range hosts {
		if isSocket(host) {
			continue
		}
		addrs, err := resolve(host)
		if err != nil {
			return nil, err
		}
		known[host] = nil
		for _, addr := range addrs {
			known[host] = append(known[host], addr.String())
		}
	}
	config.LookupFunc = func(_ context.Context, host string) ([]string, error) {
		if addrs, is := known[host]; is {
			return addrs, nil
		}
		return nil, &UnknownError{Host: host}
	}
	return &Postgres{Config: config}, nil
}

// reason is what pgx found wrong. Where the DSN has a password, parts of it may
// stand in there.
func reason(dsn string, err error) string {
	if strings.ContainsRune(dsn, '@') || strings.Contains(strings.ToLower(dsn), "password") {
		return ""
	}
	parse, is := err.(*pgconn.ParseConfigError)
	if !is {
		return ""
	}
	text := parse.Error()
	if _, after, found := strings.Cut(text, "`: "); found {
		text = after
	}
	return " (" + text + ")"
}

// isSocket says whether a host is the folder of a unix socket, or an abstract one.
func isSocket(host string) bool { return strings.HasPrefix(host, "/") || strings.HasPrefix(host, "@") }

// Network and address are where the first host is reached.
func (p *Postgres) address() (network, address string) {
	return pgconn.NetworkAddress(p.Config.Host, p.Config.Port)
}

// Addr is where the first host is reached over TCP; not valid for a unix socket.
func (p *Postgres) Addr() netip.AddrPort {
	if isSocket(p.Config.Host) {
		return netip.AddrPort{}
	}
	addrs, err := p.Config.LookupFunc(context.Background(), p.Config.Host)
	if err != nil || len(addrs) == 0 {
		return netip.AddrPort{}
	}
	addr, err := netip.ParseAddr(addrs[0])
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr, p.Config.Port)
}

// String names the server without a password.
func (p *Postgres) String() string {
	where := net.JoinHostPort(p.Config.Host, strconv.Itoa(int(p.Config.Port)))
	if isSocket(p.Config.Host) {
		_, where = p.address()
		where = path.Clean(where)
	}
	return fmt.Sprintf("postgres:%s (user %s, database %s)", where, p.Config.User, p.Config.Database)
}
