package services

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"math"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// known is a service of the table.
func known(t *testing.T, name string) Service {
	t.Helper()
	for _, s := range All() {
		if s.Name == name {
			return s
		}
	}
	t.Fatalf("%s is not in the table", name)
	return Service{}
}

// serve has every connection handled until the test ends, when all are closed.
func serve(t *testing.T, handle func(net.Conn)) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var handlers sync.WaitGroup
	over, end := context.WithCancel(context.Background())
	handlers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			handlers.Go(func() {
				defer conn.Close()
				defer context.AfterFunc(over, func() { conn.Close() })()
				handle(conn)
			})
		}
	})
	t.Cleanup(func() {
		end()
		listener.Close()
		handlers.Wait()
	})
	return netip.MustParseAddrPort(listener.Addr().String())
}

// silent reads whatever comes and says nothing.
func silent(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

func asked(t *testing.T, service string, at netip.AddrPort) Greeting {
	t.Helper()
	greeting, err := known(t, service).Ask(t.Context(), at)
	if err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	return greeting
}

func check(t *testing.T, got Greeting, want Openness, seen string) {
	t.Helper()
	if got.Openness != want || !strings.Contains(got.Seen, seen) || got.Asked == "" {
		t.Errorf("%+v, want %q with %q", got, want, seen)
	}
}

var canBeAsked = []string{
	"Redis", "memcached", "PostgreSQL", "MySQL/MariaDB", "MongoDB", "Elasticsearch/OpenSearch", "Docker API", "etcd", "Jupyter",
}

func TestGarbageIsUnclear(t *testing.T) {
	at := serve(t, func(conn net.Conn) {
		_, _ = io.WriteString(conn, "\x1b[2J\x00garbage\xff "+strings.Repeat("zzz ", 20000)+"\n")
		silent(conn)
	})
	for _, name := range canBeAsked {
		got := asked(t, name, at)
		check(t, got, Unclear, ".[2J.garbage.")
	}
}

func TestClosedConnectionIsUnclear(t *testing.T) {
	at := serve(t, func(conn net.Conn) {
		// What was sent is read, lest the close be a reset.
		_ = conn.(*net.TCPConn).CloseWrite()
		silent(conn)
	})
	// A reset before the connection was used may be taken for one of connect.
	reset := serve(t, func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 1))
		_ = conn.(*net.TCPConn).SetLinger(0)
	})
	for _, name := range canBeAsked {
		check(t, asked(t, name, at), Unclear, "closed without an answer")
		if name != "MySQL/MariaDB" { // whose server speaks first
			check(t, asked(t, name, reset), Unclear, "closed without an answer")
		}
	}
}

func TestSilenceIsAnError(t *testing.T) {
	at := serve(t, silent)
	ends := errors.New("the service was reached")
	for _, name := range canBeAsked {
		ctx, cancel := context.WithCancelCause(t.Context())
		reached := serve(t, func(conn net.Conn) {
			cancel(ends)
			silent(conn)
		})
		greeting, err := known(t, name).Ask(ctx, reached)
		if !errors.Is(err, context.Canceled) || !errors.Is(context.Cause(ctx), ends) || greeting != (Greeting{}) {
			t.Errorf("%s, canceled: %+v, %v", name, greeting, err)
		}
	}
	// All wait at once for the time to run out.
	var waiting sync.WaitGroup
	for _, name := range canBeAsked {
		waiting.Go(func() {
			greeting, err := known(t, name).Ask(t.Context(), at)
			if !errors.Is(err, context.DeadlineExceeded) || greeting != (Greeting{}) {
				t.Errorf("%s: %+v, %v", name, greeting, err)
			}
		})
	}
	waiting.Wait()
}

func TestNobodyThereIsAnError(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	// At the port of a connection nobody listens, nor will while that stands.
	conn, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	at := netip.MustParseAddrPort(conn.LocalAddr().String())
	for _, name := range canBeAsked {
		greeting, err := known(t, name).Ask(t.Context(), at)
		if err == nil || !strings.Contains(err.Error(), "connect to "+at.String()) {
			t.Errorf("%s: %+v, %v", name, greeting, err)
		}
	}
}

// mongo answers each message of OP_MSG with a document, as the MongoDB manual
// describes the wire protocol; a real one is in no distribution.
func mongo(t *testing.T, document []byte) netip.AddrPort {
	return serve(t, func(conn net.Conn) {
		header := make([]byte, mongoHeaderBytes)
		if _, err := io.ReadFull(conn, header); err != nil {
			t.Errorf("read the header: %v", err)
			return
		}
		body := make([]byte, binary.LittleEndian.Uint32(header)-mongoHeaderBytes)
		if _, err := io.ReadFull(conn, body); err != nil {
			t.Errorf("read the message: %v", err)
			return
		}
		request, err := parseBSON(body[5:])
		if one, _ := bsonNumber(request["listDatabases"]); err != nil || one != 1 || request["$db"].text() != "admin" {
			t.Errorf("the request is %v, %v", request, err)
		}
		answer := binary.LittleEndian.AppendUint32(nil, uint32(mongoHeaderBytes+5+len(document)))
		answer = binary.LittleEndian.AppendUint32(answer, 77)
		answer = append(answer, header[4:8]...)
		answer = binary.LittleEndian.AppendUint32(answer, mongoOpMsg)
		_, _ = conn.Write(append(append(answer, 0, 0, 0, 0, mongoBodySection), document...))
		silent(conn)
	})
}

func double(v float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v)) }

func TestMongoDB(t *testing.T) {
	open := mongo(t, bsonDocument(
		bsonElement(bsonArray, "databases", bsonDocument(
			bsonElement(bsonObject, "0", bsonDocument(bsonElement(bsonString, "name", bsonText("admin")))),
			bsonElement(bsonObject, "1", bsonDocument(bsonElement(bsonString, "name", bsonText("shop\x1b[31m")))),
		)),
		bsonElement(bsonDouble, "ok", double(1)),
	))
	check(t, asked(t, "MongoDB", open), Open, "databases: admin, shop.[31m")

	protected := mongo(t, bsonDocument(
		bsonElement(bsonDouble, "ok", double(0)),
		bsonElement(bsonString, "errmsg", bsonText("command listDatabases requires authentication")),
		bsonElement(bsonInt32, "code", []byte{13, 0, 0, 0}),
		bsonElement(bsonString, "codeName", bsonText("Unauthorized")),
	))
	check(t, asked(t, "MongoDB", protected), Protected, "error 13: command listDatabases requires authentication")

	starting := mongo(t, bsonDocument(
		bsonElement(bsonInt32, "ok", []byte{0, 0, 0, 0}),
		bsonElement(bsonString, "errmsg", bsonText("not ready")),
		bsonElement(bsonInt32, "code", []byte{91, 0, 0, 0}),
	))
	check(t, asked(t, "MongoDB", starting), Unclear, "error 91: not ready")
	check(t, asked(t, "MongoDB", mongo(t, bsonDocument())), Unclear, "")
}

// api answers a path over HTTP as a service's documentation says; the services
// themselves are in no distribution.
func api(t *testing.T, path string, status int, header map[string]string, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != path {
			t.Errorf("%s %s was asked for", r.Method, r.URL)
		}
		if name, _, _ := net.SplitHostPort(r.Host); name != "localhost" {
			t.Errorf("asked for the host %s", r.Host)
		}
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// serveHTTP serves until the test ends, over TLS where a configuration is given.
func serveHTTP(t *testing.T, handler http.Handler, config *tls.Config) netip.AddrPort {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, TLSConfig: config, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan error, 1)
	go func() {
		if config != nil {
			ended <- server.ServeTLS(listener, "", "")
		} else {
			ended <- server.Serve(listener)
		}
	}()
	t.Cleanup(func() {
		server.Close()
		if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("serve: %v", err)
		}
	})
	return netip.MustParseAddrPort(listener.Addr().String())
}

var apis = []struct {
	service, path        string
	open, seen           string
	status               int
	refusal, refusalSeen string
	header               map[string]string
}{
	{
		service: "Elasticsearch/OpenSearch", path: "/",
		open:   `{"name":"n","cluster_name":"docker-cluster","version":{"number":"8.11.1"},"tagline":"You Know, for Search"}`,
		seen:   "elasticsearch 8.11.1, cluster docker-cluster",
		status: http.StatusUnauthorized, header: map[string]string{"WWW-Authenticate": `Basic realm="security" charset="UTF-8"`},
		refusal: `{"error":{"type":"security_exception"},"status":401}`, refusalSeen: `401 Unauthorized, WWW-Authenticate: Basic realm="security"`,
	},
	{
		service: "Docker API", path: "/version", open: `{"Version":"24.0.5","ApiVersion":"1.43","Os":"linux"}`, seen: "version 24.0.5, API 1.43",
		status: http.StatusForbidden, refusal: `{"message":"authorization denied by plugin authz: no"}`, refusalSeen: "403 Forbidden: {\"message\"",
	},
	{
		service: "Jupyter", path: "/api/kernels", open: `[{"id":"5a8d","name":"python3"}]`, seen: "200 OK, kernels that run: 1",
		status: http.StatusForbidden, refusal: `{"message": "Forbidden", "reason": null}`, refusalSeen: "403 Forbidden",
	},
	{
		service: "Jupyter", path: "/api/kernels", open: `[]`, seen: "200 OK, kernels that run: 0",
		status: http.StatusFound, header: map[string]string{"Location": "/login?next=%2Fapi%2Fkernels"}, refusalSeen: "302 Found, Location: /login",
	},
}

func TestAPIs(t *testing.T) {
	trusted := certificates(t)
	for _, c := range apis {
		open := api(t, c.path, http.StatusOK, nil, c.open)
		refusing := api(t, c.path, c.status, c.header, c.refusal)
		got := asked(t, c.service, serveHTTP(t, open, nil))
		check(t, got, Open, c.seen)
		if got.Asked != "GET "+c.path {
			t.Errorf("asked %q", got.Asked)
		}
		check(t, asked(t, c.service, serveHTTP(t, refusing, nil)), Protected, c.refusalSeen)

		overTLS := &tls.Config{Certificates: []tls.Certificate{trusted}}
		got = asked(t, c.service, serveHTTP(t, open, overTLS))
		check(t, got, Open, c.seen)
		if got.Asked != "GET "+c.path+" over TLS" {
			t.Errorf("asked %q", got.Asked)
		}
		check(t, asked(t, c.service, serveHTTP(t, refusing, overTLS)), Protected, c.refusalSeen)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			mutual := &tls.Config{Certificates: overTLS.Certificates, ClientAuth: tls.RequireAnyClientCert, MinVersion: version, MaxVersion: version}
			check(t, asked(t, c.service, serveHTTP(t, open, mutual)), Protected, "asks for a client's certificate")
		}
		wrong := api(t, c.path, http.StatusOK, nil, `{"a": `+strings.Repeat("[", 100000))
		check(t, asked(t, c.service, serveHTTP(t, wrong, nil)), Unclear, `200 OK: {"a": [[[`)
	}
}

// A redirect may lead out of the machine.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := serve(t, func(net.Conn) { t.Error("the redirect was followed") })
	handler := http.RedirectHandler(fmt.Sprintf("http://%s/", elsewhere), http.StatusTemporaryRedirect)
	at := serveHTTP(t, handler, nil)
	for _, name := range []string{"Elasticsearch/OpenSearch", "Docker API", "Jupyter", "etcd"} {
		check(t, asked(t, name, at), Unclear, "307 Temporary Redirect, Location: http://"+elsewhere.String())
	}
}

func TestProxiesAreNotUsed(t *testing.T) {
	proxy := serve(t, func(net.Conn) { t.Error("the proxy was used") })
	for _, name := range []string{"http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy"} {
		t.Setenv(name, "http://"+proxy.String())
	}
	check(t, asked(t, "Docker API", serveHTTP(t, api(t, "/version", 200, nil, apis[1].open), nil)), Open, "24.0.5")
}

// Versions of etcd before 3.4 have their gateway at other paths.
func TestEtcdOfOldIsFound(t *testing.T) {
	const open = `{"header":{"cluster_id":"14841639068965178418","revision":"1"}}`
	for _, path := range []string{"/v3/kv/range", "/v3beta/kv/range", "/v3alpha/kv/range"} {
		mux := http.NewServeMux()
		mux.Handle("POST "+path, api(t, path, http.StatusOK, nil, open))
		got := asked(t, "etcd", serveHTTP(t, mux, nil))
		check(t, got, Open, "cluster 14841639068965178418, revision 1")
		if got.Asked != "POST "+path {
			t.Errorf("asked %q", got.Asked)
		}
	}
	check(t, asked(t, "etcd", serveHTTP(t, http.NotFoundHandler(), nil)), Unclear, "404 Not Found: 404 page not found")
}

// An endless answer ends with the time or with what is read of it.
func TestEndlessAnswers(t *testing.T) {
	at := serve(t, func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
			return // no HTTP: that is TLS
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n[")
		for chunk := strings.Repeat(" ", 1<<16); ; {
			if _, err := io.WriteString(conn, chunk); err != nil {
				return
			}
		}
	})
	for _, name := range []string{"Elasticsearch/OpenSearch", "Docker API", "Jupyter", "etcd"} {
		check(t, asked(t, name, at), Unclear, "200 OK: [")
	}
}

// certificates is one for localhost that signs itself.
func certificates(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
