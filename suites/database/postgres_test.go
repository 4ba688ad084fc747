package database

import (
	"net/netip"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/dbserver"
)

// settings are those of a configuration that can be compared.
func settings(c *pgx.ConnConfig) map[string]any {
	return map[string]any{
		"host": c.Host, "port": c.Port, "database": c.Database, "user": c.User, "password": c.Password,
		"TLS": c.TLSConfig, "fallbacks": c.Fallbacks, "time": c.ConnectTimeout, "runtime": c.RuntimeParams,
		"certificate": c.SSLCertMode, "negotiation": c.SSLNegotiation, "binding": c.ChannelBinding, "auth": c.RequireAuth,
		"oldest": c.MinProtocolVersion, "newest": c.MaxProtocolVersion, "validates": c.ValidateConnect != nil,
		"kerberos": c.KerberosSrvName + c.KerberosSpn,
	}
}

// What the user's environment and home say is of his own servers.
func TestOwnPostgresIsReachedWhateverTheEnvironmentSays(t *testing.T) {
	server := &dbserver.Server{Addr: netip.MustParseAddrPort("127.0.0.1:5433"), Password: "secret"}
	of := func(g *WithT) map[string]any {
		config, err := ownConfig(server)
		g.Expect(err).NotTo(HaveOccurred())
		return settings(config)
	}
	want := map[string]any{
		"host": "127.0.0.1", "port": uint16(5433), "database": dbserver.Database, "user": dbserver.User, "password": "secret",
		"TLS": BeNil(), "fallbacks": BeEmpty(), "time": patience, "runtime": Equal(map[string]string{"application_name": "loopcheck"}),
		"certificate": "allow", "negotiation": "postgres", "binding": "prefer", "auth": "",
		"oldest": "3.0", "newest": "3.0", "validates": false, "kerberos": "",
	}
	sound := func(g *WithT) {
		g.THelper()
		got := of(g)
		g.Expect(got).To(HaveLen(len(want)))
		for name, value := range want {
			g.Expect(got).To(HaveKeyWithValue(name, value))
		}
	}
	for name, values := range map[string][]string{
		"PGHOST": {"/nowhere", "192.0.2.1,192.0.2.2"}, "PGPORT": {"abc", "1,2"}, "PGDATABASE": {"his"}, "PGUSER": {"he"},
		"PGPASSWORD": {"his"}, "PGPASSFILE": {"/nope"}, "PGAPPNAME": {"his"}, "PGCONNECT_TIMEOUT": {"abc", "1"},
		"PGSSLMODE": {"verify-full", "abc"}, "PGSSLKEY": {"/nope"}, "PGSSLCERT": {"/nope"}, "PGSSLCERTMODE": {"require", "", "abc"},
		"PGSSLSNI": {"0"}, "PGSSLROOTCERT": {"/nope", "system"}, "PGSSLPASSWORD": {"his"}, "PGSSLNEGOTIATION": {"direct"},
		"PGTARGETSESSIONATTRS": {"standby", "abc"}, "PGSERVICE": {"his"}, "PGSERVICEFILE": {"/nope"}, "PGTZ": {"Mars/Olympus"},
		"PGOPTIONS": {"-c statement_timeout=1"}, "PGMINPROTOCOLVERSION": {"3.2", "abc"}, "PGMAXPROTOCOLVERSION": {"3.2", "abc"},
		"PGCHANNELBINDING": {"require", "abc"}, "PGREQUIREAUTH": {"md5", "abc"},
	} {
		for _, value := range values {
			t.Run(name+"="+value, func(t *testing.T) {
				t.Setenv(name, value)
				sound(NewWithT(t))
				if got := os.Getenv(name); got != value {
					t.Errorf("it is %q afterwards", got)
				}
			})
		}
	}
	t.Run("home", func(t *testing.T) {
		g := NewWithT(t)
		home := t.TempDir()
		t.Setenv("HOME", home)
		g.Expect(os.Mkdir(filepath.Join(home, ".postgresql"), 0o700)).To(Succeed())
		for _, name := range []string{"root.crt", "postgresql.crt", "postgresql.key"} {
			g.Expect(os.WriteFile(filepath.Join(home, ".postgresql", name), []byte("damaged"), 0o600)).To(Succeed())
		}
		sound(g)
	})
}
