package dbtarget

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
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
	if err := settle(config.RuntimeParams); err != nil {
		return nil, err
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

// libpqOnly are the keywords that say how libpq connects, and that pgx would send to the
// server as settings, which it refuses.
var libpqOnly = []string{
	"gssdelegation", "gssencmode", "gsslib",
	"keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "tcp_user_timeout",
	"load_balance_hosts", "requirepeer", "scram_client_key", "scram_server_key",
	"oauth_client_id", "oauth_client_secret", "oauth_issuer", "oauth_scope",
	"sslcompression", "sslcrl", "sslcrldir", "sslkeylogfile", "ssl_max_protocol_version", "ssl_min_protocol_version",
}

// settle leaves of what a DSN says what is for the server. The address that libpq would
// connect to in the place of the host's is not left out in silence.
func settle(params map[string]string) error {
	if params["hostaddr"] != "" {
		return &MalformedError{Why: "hostaddr is not looked at", Write: "its address as host=, such as host=127.0.0.1"}
	}
	if os.Getenv("PGHOSTADDR") != "" {
		return &MalformedError{Why: "PGHOSTADDR is not looked at", Write: "its address as host=, such as host=127.0.0.1, and unset it"}
	}
	delete(params, "hostaddr")
	for _, keyword := range libpqOnly {
		delete(params, keyword)
	}
	if name, there := params["fallback_application_name"]; there {
		delete(params, "fallback_application_name")
		params["application_name"] = cmp.Or(params["application_name"], name)
	}
	// Go's texts are of this encoding. libpq takes auto too, for that of the locale.
	if _, there := params["client_encoding"]; there {
		params["client_encoding"] = "UTF8"
	}
	return nil
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
