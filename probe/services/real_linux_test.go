package services

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

func TestRealRedis(t *testing.T) {
	binary := program(t, "redis-server", "/usr/bin/redis-server")
	for _, c := range []struct {
		name string
		args []string
		want Openness
		seen string
	}{
		{"open", nil, Open, "+PONG"},
		{"password", []string{"--requirepass", "secret"}, Protected, "-NOAUTH"},
		{"users", []string{"--user", "default", "on", "nopass", "-@all"}, Protected, "-NOPERM"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, dir := free(t), folder(t)
			args := append([]string{"--bind", "127.0.0.1", "--port", strconv.Itoa(int(at.Port())), "--dir", dir, "--save", ""}, c.args...)
			s := start(t, at, dir, syscall.SIGTERM, nil, binary, args...)
			s.judged(t, "Redis", c.want, "PING", c.seen)
		})
	}
}

func TestRealMemcached(t *testing.T) {
	binary := program(t, "memcached", "/usr/bin/memcached")
	const noop = "no-op of the binary protocol"
	for _, c := range []struct {
		name        string
		args        []string
		sasl        bool
		want        Openness
		asked, seen string
	}{
		{"open", nil, false, Open, "version", "VERSION "},
		{"users", []string{"-Y", "users"}, false, Protected, "version", "CLIENT_ERROR unauthenticated"},
		{"binary", []string{"-B", "binary"}, false, Open, noop, "0x0000"},
		{"SASL", []string{"-S"}, true, Protected, noop, "0x0020"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, dir := free(t), folder(t)
			write(t, filepath.Join(dir, "users"), "somebody:secret\n")
			write(t, filepath.Join(dir, "memcached.conf"), "mech_list: plain\n")
			if c.sasl {
				program(t, "libsasl2-modules", "/usr/lib/*/sasl2/libplain.so")
			}
			args := append([]string{"-l", "127.0.0.1", "-p", strconv.Itoa(int(at.Port()))}, c.args...)
			s := start(t, at, dir, syscall.SIGTERM, []string{"SASL_CONF_PATH=" + dir}, binary, args...)
			s.judged(t, "memcached", c.want, c.asked, c.seen)
		})
	}
}

// cluster makes the files of a PostgreSQL with one user.
func cluster(t *testing.T, binary, dir, user string) (data string) {
	t.Helper()
	data = filepath.Join(dir, user)
	prepare(t, dir, filepath.Join(filepath.Dir(binary), "initdb"), "-D", data, "-U", user, "-A", "trust", "--no-sync", "--no-locale", "-E", "UTF8")
	return data
}

func TestRealPostgreSQL(t *testing.T) {
	binary := program(t, "postgresql", "/usr/lib/postgresql/*/bin/postgres")
	dir := folder(t)
	usual, other := cluster(t, binary, dir, "postgres"), cluster(t, binary, dir, "somebody")
	const host = "host all all 127.0.0.1/32 "
	for _, c := range []struct {
		name, data, line string
		want             Openness
		seen             string
	}{
		{"trust", usual, host + "trust", Open, "AuthenticationOk"},
		{"trust, but no user postgres", other, host + "trust", Open, "AuthenticationOk"},
		{"SCRAM", usual, host + "scram-sha-256", Protected, "asks for authentication by SASL (SCRAM)"},
		{"SCRAM, but no user postgres", other, host + "scram-sha-256", Protected, "asks for authentication by SASL (SCRAM)"},
		{"MD5", usual, host + "md5", Protected, "asks for authentication by"},
		{"password", usual, host + "password", Protected, "asks for authentication by password in clear text"},
		{"reject", usual, host + "reject", Protected, "FATAL 28000: pg_hba.conf rejects connection"},
		{"no line", usual, "local all all trust", Protected, "FATAL 28000: no pg_hba.conf entry"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, filepath.Join(c.data, "pg_hba.conf"), c.line+"\n")
			at := free(t)
			s := start(t, at, dir, syscall.SIGINT, nil, binary, "-D", c.data, "-p", strconv.Itoa(int(at.Port())),
				"-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories=", "-c", "fsync=off", "-c", "lc_messages=C")
			s.judged(t, "PostgreSQL", c.want, "a session of the user postgres", c.seen)
		})
	}
}

func TestRealMariaDB(t *testing.T) {
	binary := program(t, "mariadb-server", "/usr/sbin/mariadbd")
	install := program(t, "mariadb-server", "/usr/bin/mariadb-install-db")
	dir := folder(t)
	data := filepath.Join(dir, "data")
	prepare(t, dir, install, "--no-defaults", "--datadir="+data, "--auth-root-authentication-method=normal", "--skip-test-db")
	change := filepath.Join(dir, "change.sql")
	for _, c := range []struct {
		name string
		sql  string // carried out at the start
		args []string
		want Openness
		seen string
	}{
		{"no password", "SELECT 1;", nil, Open, "OK: root is let in"},
		{"no grant tables", "SELECT 1;", []string{"--skip-grant-tables"}, Open, "OK: root is let in"},
		{"password", "ALTER USER root@'127.0.0.1' IDENTIFIED BY 'secret';", nil, Protected, "error 1045: Access denied"},
		{"Unix socket", "ALTER USER root@'127.0.0.1' IDENTIFIED VIA unix_socket;", nil, Protected, "error 1698: Access denied"},
		{"no root", "DROP USER root@'127.0.0.1';", nil, Protected, "error 1130: Host"},
	} {
		t.Run(c.name, func(t *testing.T) {
			write(t, change, c.sql+"\n")
			at := free(t)
			args := append([]string{
				"--no-defaults", "--datadir=" + data, "--bind-address=127.0.0.1", "--port=" + strconv.Itoa(int(at.Port())),
				"--socket=" + filepath.Join(dir, "s"), "--pid-file=" + filepath.Join(dir, "pid"), "--init-file=" + change,
				"--skip-name-resolve", "--innodb-flush-method=fsync", "--innodb-buffer-pool-size=8M",
			}, c.args...)
			s := start(t, at, dir, syscall.SIGTERM, nil, binary, args...)
			s.judged(t, "MySQL/MariaDB", c.want, "a login of root with an empty password", c.seen)
		})
	}
}

// etcd starts one whose clients come over TLS where arguments say so.
func etcd(t *testing.T, scheme string, args ...string) *server {
	t.Helper()
	binary := program(t, "etcd-server", "/usr/bin/etcd")
	at, peer, dir := free(t), free(t), folder(t)
	clients, peers := fmt.Sprintf("%s://%s", scheme, at), fmt.Sprintf("http://%s", peer)
	args = append([]string{
		"--data-dir", filepath.Join(dir, "data"), "--listen-client-urls", clients, "--advertise-client-urls", clients,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default=" + peers,
	}, args...)
	return start(t, at, dir, syscall.SIGTERM, nil, binary, args...)
}

func TestRealEtcd(t *testing.T) {
	const asked = "POST /v3/kv/range"
	t.Run("with and without users", func(t *testing.T) {
		g := NewWithT(t)
		s := etcd(t, "http")
		s.judged(t, "etcd", Open, asked, "cluster ")
		for _, step := range [][2]string{
			{"user/add", `{"name":"root","password":"secret"}`},
			{"role/add", `{"name":"root"}`},
			{"user/grant", `{"user":"root","role":"root"}`},
			{"enable", `{}`},
		} {
			answer, err := http.Post(fmt.Sprintf("http://%s/v3/auth/%s", s.at, step[0]), "application/json", strings.NewReader(step[1]))
			g.Expect(err).NotTo(HaveOccurred())
			answer.Body.Close()
			g.Expect(answer.StatusCode).To(Equal(http.StatusOK), step[0])
		}
		s.judged(t, "etcd", Protected, asked, "user name is empty")
	})

	pair := certificates(t)
	dir := folder(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]})))
	secret, err := x509.MarshalECPrivateKey(pair.PrivateKey.(*ecdsa.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	write(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: secret})))
	t.Run("TLS", func(t *testing.T) {
		s := etcd(t, "https", "--cert-file", cert, "--key-file", key)
		s.judged(t, "etcd", Open, asked+" over TLS", "cluster ")
	})
	t.Run("clients' certificates", func(t *testing.T) {
		s := etcd(t, "https", "--cert-file", cert, "--key-file", key, "--trusted-ca-file", cert, "--client-cert-auth")
		s.judged(t, "etcd", Protected, asked+" over TLS", "asks for a client's certificate")
	})
}
