package dbtarget

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// hosts makes the test see this hosts file.
func hosts(t testing.TB, text string) {
	t.Helper()
	old := readHosts
	t.Cleanup(func() { readHosts = old })
	readHosts = func() (string, error) { return text, nil }
}

const someHosts = "127.0.0.1 localhost db\n192.0.2.7 elsewhere\n::1 six\n127.0.0.1 both\n192.0.2.8 both\n"

// kind names which of the errors it is.
func kind(err error) string {
	switch {
	case err == nil:
		return "own"
	case asType[*ElsewhereError](err):
		return "elsewhere"
	case asType[*UnknownError](err):
		return "unknown"
	case asType[*MalformedError](err):
		return "malformed"
	}
	return err.Error()
}

func asType[E error](err error) bool {
	_, is := errors.AsType[E](err)
	return is
}

func TestPostgresIsOnThisMachine(t *testing.T) {
	hosts(t, someHosts)
	for _, name := range []string{"PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE", "PGSERVICEFILE", "PGPASSWORD", "PGUSER"} {
		t.Setenv(name, "")
		os.Unsetenv(name)
	}
	for dsn, want := range map[string]string{
		"postgres://u:secret@127.0.0.1:5433/x":                         "own",
		"postgres://u:secret@localhost/x":                              "own",
		"postgresql://u:secret@db/x":                                   "own",
		"postgres://u:secret@[::ffff:127.0.0.1]/x":                     "own",
		"postgres://u:secret@0.0.0.0/x":                                "own",
		"host=/run/postgresql user=u dbname=x":                         "own",
		"host=@abstract user=u dbname=x":                               "own",
		"postgres:///x?host=/tmp":                                      "own",
		"postgres://u:secret@192.0.2.1/x":                              "elsewhere",
		"postgres://u:secret@elsewhere/x":                              "elsewhere",
		"postgres://u:secret@both/x":                                   "elsewhere",
		"postgres://u:secret@127.0.0.1,192.0.2.1/x":                    "elsewhere",
		"host=127.0.0.1,elsewhere password=secret":                     "elsewhere",
		"postgres://u:secret@[2001:db8::1]/x":                          "elsewhere",
		"postgres://u:secret@db.example.com/x":                         "unknown",
		"host=localhost,db.example.com password=secret":                "unknown",
		"postgres://u:se/cret@127.0.0.1/x":                             "malformed",
		"postgres://u:secret@127.0.0.1:port/x":                         "malformed",
		"host=127.0.0.1 password=secret sslmode=sometimes":             "malformed",
		"postgres://u:secret@db/x?hostaddr=192.0.2.1":                  "malformed",
		"host=db hostaddr=127.0.0.1 password=secret":                   "malformed",
		"host=db hostaddr='' password=secret":                          "own",
		"secret":                                                       "malformed",
		"":                                                             "malformed",
		"postgres://u:secret@127.0.0.1/x?sslrootcert=/nowhere/at/all":  "malformed",
		"postgres://u:secret@127.0.0.1/x?service=none&servicefile=/no": "malformed",
	} {
		_, err := ParsePostgres(dsn)
		if got := kind(err); got != want {
			t.Errorf("%s: %s (%v), want %s", dsn, got, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "cret@")) {
			t.Errorf("%s: the error holds the password: %v", dsn, err)
		}
	}
}

func TestPostgresOfTheEnvironment(t *testing.T) {
	g := NewWithT(t)
	hosts(t, someHosts)
	t.Setenv("PGHOST", "elsewhere")
	_, err := ParsePostgres("user=u")
	g.Expect(kind(err)).To(Equal("elsewhere"))

	file := filepath.Join(t.TempDir(), "services")
	g.Expect(os.WriteFile(file, []byte("[far]\nhost=192.0.2.1\n[near]\nhost=127.0.0.1\n"), 0o600)).To(Succeed())
	t.Setenv("PGHOST", "")
	t.Setenv("PGSERVICEFILE", file)
	_, err = ParsePostgres("service=far")
	g.Expect(kind(err)).To(Equal("elsewhere"))
	_, err = ParsePostgres("service=near")
	g.Expect(err).NotTo(HaveOccurred())
	t.Setenv("PGSERVICE", "far")
	_, err = ParsePostgres("user=u")
	g.Expect(kind(err)).To(Equal("elsewhere"))
	t.Setenv("PGHOSTADDR", "192.0.2.1")
	_, err = ParsePostgres("service=near")
	g.Expect(err).To(MatchError("PGHOSTADDR is not looked at: write its address as host=, such as host=127.0.0.1, and unset it"))
}

// A server refuses what it has no setting of.
func TestPostgresIsSentWhatIsForIt(t *testing.T) {
	hosts(t, someHosts)
	t.Setenv("PGHOSTADDR", "")
	const libpqs = "host=127.0.0.1 channel_binding=prefer gssdelegation=0 gssencmode=prefer gsslib=gssapi hostaddr='' keepalives=1 keepalives_count=3 keepalives_idle=9 " +
		"keepalives_interval=9 krbsrvname=postgres load_balance_hosts=disable max_protocol_version=3.0 min_protocol_version=3.0 oauth_client_id=x oauth_client_secret=x " +
		"oauth_issuer=x oauth_scope=x passfile=/nowhere require_auth=!password requirepeer=postgres scram_client_key=x scram_server_key=x sslcertmode=allow sslcompression=0 " +
		"sslcrl=x sslcrldir=x sslkeylogfile=x sslsni=1 ssl_max_protocol_version=TLSv1.3 ssl_min_protocol_version=TLSv1.2 target_session_attrs=any tcp_user_timeout=9 "
	for dsn, want := range map[string]map[string]string{
		libpqs: {},
		libpqs + "options='-c geqo=off' replication=off search_path=s":   {"options": "-c geqo=off", "replication": "off", "search_path": "s"},
		libpqs + "client_encoding=auto fallback_application_name=psql":   {"client_encoding": "UTF8", "application_name": "psql"},
		libpqs + "application_name=app fallback_application_name=psql":   {"application_name": "app"},
		"postgres://127.0.0.1/x?keepalives=1&gssencmode=disable&geqo=on": {"geqo": "on"},
	} {
		server, err := ParsePostgres(dsn)
		if err != nil {
			t.Errorf("%s: %v", dsn, err)
			continue
		}
		if got := server.Config.RuntimeParams; !maps.Equal(got, want) {
			t.Errorf("%s: the server is sent %q, want %q", dsn, got, want)
		}
	}
}

// What was looked up is where the connection goes, whatever the hosts file says
// later.
func TestPostgresIsPinned(t *testing.T) {
	g := NewWithT(t)
	hosts(t, someHosts)
	server, err := ParsePostgres("postgres://u:secret@db:5433/x")
	g.Expect(err).NotTo(HaveOccurred())
	hosts(t, "192.0.2.7 db\n")
	g.Expect(server.Config.LookupFunc(context.Background(), "db")).To(Equal([]string{"127.0.0.1"}))
	_, err = server.Config.LookupFunc(context.Background(), "other")
	g.Expect(kind(err)).To(Equal("unknown"))
	g.Expect(server.Addr()).To(Equal(netip.MustParseAddrPort("127.0.0.1:5433")))
	g.Expect(server.String()).To(Equal("postgres:db:5433 (user u, database x)"))
}

func TestRedisIsOnThisMachine(t *testing.T) {
	hosts(t, someHosts)
	for address, want := range map[string]string{
		"127.0.0.1:6379":                        "own",
		"127.0.0.1":                             "own",
		"localhost:7000":                        "own",
		":6379":                                 "own",
		"0.0.0.0:6379":                          "own",
		"/run/redis/redis.sock":                 "own",
		"unix:///run/redis.sock?db=1":           "own",
		"redis://:secret@127.0.0.1:6379/3":      "own",
		"rediss://u:secret@db:6379":             "own",
		"192.0.2.1:6379":                        "elsewhere",
		"redis://:secret@192.0.2.1":             "elsewhere",
		"rediss://:secret@both:6379":            "elsewhere",
		"redis://:secret@db.example.com":        "unknown",
		"db.example.com:6379":                   "unknown",
		"":                                      "malformed",
		"127.0.0.1:port":                        "malformed",
		"127.0.0.1:0":                           "malformed",
		"127.0.0.1:70000":                       "malformed",
		"secret@127.0.0.1:6379":                 "malformed",
		"127.0.0.1:6379,192.0.2.1:6379":         "malformed",
		"http://127.0.0.1:6379":                 "malformed",
		"redis-sentinel://:secret@127.0.0.1":    "malformed",
		"redis://:se/cret@127.0.0.1":            "malformed",
		"redis://:secret@127.0.0.1/x":           "malformed",
		"redis://127.0.0.1?addr=192.0.2.1:6379": "malformed",
	} {
		server, err := ParseRedis(address)
		if got := kind(err); got != want {
			t.Errorf("%q: %s (%v), want %s", address, got, err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "secret") && !strings.Contains(address, "db.example.com") || strings.Contains(err.Error(), "cret@")) {
			t.Errorf("%q: the error holds the password: %v", address, err)
		}
		if err == nil && strings.Contains(server.String(), "secret") {
			t.Errorf("%q: its name holds the password: %s", address, server)
		}
	}
}

// Without IPv6, a hosts file that has ::1 leads to what is left.
func TestLoopbackWithoutIPv6(t *testing.T) {
	g := NewWithT(t)
	hosts(t, "::1 localhost six\n127.0.0.1 localhost\n::1 both\n192.0.2.8 both\n")
	old := owns
	t.Cleanup(func() { owns = old })
	for name, off := range map[string]error{"no route": nil, "no family": errors.New("address family not supported by protocol")} {
		owns = func(addr netip.Addr) (bool, string, error) {
			if addr.Is6() {
				return false, "no route leads there", off
			}
			return addr.IsLoopback(), "somewhere", nil
		}
		g.Expect(resolve("localhost")).To(Equal([]netip.Addr{netip.MustParseAddr("127.0.0.1")}), name)
		g.Expect(resolve("six")).To(Equal([]netip.Addr{netip.IPv6Loopback()}), name)
		_, err := resolve("both")
		g.Expect(kind(err)).To(Equal("elsewhere"), name)
	}
}

func TestRedisIsAskedWhereItListens(t *testing.T) {
	g := NewWithT(t)
	hosts(t, "127.0.0.2 db\n127.0.0.1 db\n")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { listener.Close() })
	at := netip.MustParseAddrPort(listener.Addr().String())
	server, err := ParseRedis(fmt.Sprintf("db:%d", at.Port()))
	g.Expect(err).NotTo(HaveOccurred())
	server.Choose(t.Context())
	g.Expect(server.Addr()).To(Equal(at))

	listener.Close()
	server, err = ParseRedis(fmt.Sprintf("db:%d", at.Port()))
	g.Expect(err).NotTo(HaveOccurred())
	server.Choose(t.Context())
	g.Expect(server.Addr().Addr()).To(Equal(netip.MustParseAddr("127.0.0.2")), "all refuse")
}

// Whatever is written, it is refused or leads to this machine, and no error holds a
// password.
func FuzzParsePostgres(f *testing.F) {
	for _, seed := range []string{"postgres://u:p@127.0.0.1/x", "host=elsewhere", "host=127.0.0.1,192.0.2.1", "postgres://%2Ftmp/x", "host='a b' port=1,2"} {
		f.Add(seed)
	}
	hosts(f, someHosts)
	f.Fuzz(func(t *testing.T, dsn string) {
		server, err := ParsePostgres(dsn)
		if err != nil {
			return
		}
		hosts := []string{server.Config.Host}
		for _, fallback := range server.Config.Fallbacks {
			hosts = append(hosts, fallback.Host)
		}
		for _, host := range hosts {
			if !isSocket(host) {
				addrs, err := server.Config.LookupFunc(context.Background(), host)
				expectOwn(t, addrs, err)
			}
		}
	})
}

func FuzzParseRedis(f *testing.F) {
	for _, seed := range []string{"127.0.0.1:6379", "redis://u:p@192.0.2.1/0", "rediss://both", "unix:///x", "[::1]"} {
		f.Add(seed)
	}
	hosts(f, someHosts)
	f.Fuzz(func(t *testing.T, address string) {
		server, err := ParseRedis(address)
		if err == nil && server.Options.Network != "unix" {
			expectOwn(t, []string{server.Addr().Addr().String()}, nil)
		}
	})
}

func expectOwn(t *testing.T, addrs []string, err error) {
	t.Helper()
	if err != nil || len(addrs) == 0 {
		t.Errorf("no address: %v", err)
	}
	for _, addr := range addrs {
		if parsed, err := netip.ParseAddr(addr); err != nil || !parsed.IsLoopback() {
			t.Errorf("it leads to %s", addr)
		}
	}
}
