package services

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

// heard is a connection on which a service says what it would say to everybody.
type heard struct{ io.Reader }

func (heard) Write(p []byte) (int, error) { return len(p), nil }

// from is a dialogue's outcome where a service says this.
func from(talk dialogue, said []byte) (Openness, string, error) {
	return talk(heard{bytes.NewReader(said)})
}

// handshake10 is the first packet of a MariaDB: its version, the thread, a
// challenge in two parts, and its method of authentication.
var handshake10 = mysqlPacket(0, "\x0a10.11\x00\x01\x00\x00\x00abcdefgh\x00\xfe\xf7\x2d\x02\x00\xff\x81\x15"+
	strings.Repeat("\x00", 10)+"abcdefghijkl\x00mysql_native_password\x00")

// letIn says that a login was taken; refused that it was not.
const letIn = "\x00\x00\x00\x02\x00\x00\x00"

func refused(code uint16, text string) string {
	return string(binary.LittleEndian.AppendUint16([]byte{mysqlErr}, code)) + text
}

func mysqlPacket(sequence byte, payload string) string {
	return string([]byte{byte(len(payload)), byte(len(payload) >> 8), byte(len(payload) >> 16), sequence}) + payload
}

func postgresError(fields string) string {
	return "E" + string(binary.BigEndian.AppendUint32(nil, uint32(len(fields)+5))) + fields + "\x00"
}

func TestDialogues(t *testing.T) {
	for _, c := range []struct {
		name string
		talk dialogue
		said string
		want Openness // empty for no answer of the service
		seen string
	}{
		{"Redis that is open", greetRedis, "+PONG\r\n", Open, "+PONG"},
		{"Redis with a password", greetRedis, "-NOAUTH Authentication required.\r\n", Protected, "NOAUTH"},
		{"Redis in protected mode", greetRedis, "-DENIED Redis is running in protected mode because\r\n", Protected, "DENIED"},
		{"Redis of version 2.6 with a password", greetRedis, "-ERR operation not permitted\r\n", Protected, "permitted"},
		{"Redis whose user may not ping", greetRedis, "-NOPERM this user has no permissions\r\n", Protected, "NOPERM"},
		{"Redis that loads its data", greetRedis, "-LOADING Redis is loading the dataset in memory\r\n", Open, "LOADING"},
		{"another error", greetRedis, "-ERR unknown command\r\n", "", ""},
		{"a line without an end", greetRedis, strings.Repeat("+PONG ", 10000), "", ""},
		{"half a line", greetRedis, "+PO", "", ""},

		{"memcached that is open", greetMemcached, "VERSION 1.6.18\r\n", Open, "1.6.18"},
		{"memcached with a file of users", greetMemcached, "CLIENT_ERROR unauthenticated\r\n", Protected, "unauthenticated"},
		{"memcached that does not understand", greetMemcached, "ERROR\r\n", "", ""},
		{"memcached of binary, open", greetMemcachedBinary, "\x81\x0a" + strings.Repeat("\x00", 22), Open, "0x0000"},
		{"memcached with SASL", greetMemcachedBinary, "\x81\x0a\x00\x00\x00\x00\x00\x20" + strings.Repeat("\x00", 16), Protected, "0x0020"},
		{"memcached of binary that does not know no-op", greetMemcachedBinary, "\x81\x0a\x00\x00\x00\x00\x00\x81" + strings.Repeat("\x00", 16), "", ""},
		{"the answer to something else", greetMemcachedBinary, "\x81\x0b" + strings.Repeat("\x00", 22), "", ""},

		{"PostgreSQL with trust", greetPostgreSQL, "R\x00\x00\x00\x08\x00\x00\x00\x00", Open, "trust"},
		{"PostgreSQL with SCRAM", greetPostgreSQL, "R\x00\x00\x00\x17\x00\x00\x00\x0aSCRAM-SHA-256\x00\x00", Protected, "SASL"},
		{"PostgreSQL with MD5", greetPostgreSQL, "R\x00\x00\x00\x0c\x00\x00\x00\x05salt", Protected, "MD5"},
		{"PostgreSQL with a method of its own", greetPostgreSQL, "R\x00\x00\x00\x08\x00\x00\x00\x63", Protected, "99"},
		{
			"PostgreSQL that rejects", greetPostgreSQL,
			postgresError("SFATAL\x00VFATAL\x00C28000\x00Mno pg_hba.conf entry for host \"127.0.0.1\"\x00"), Protected, "FATAL 28000: no pg_hba.conf",
		},
		{"PostgreSQL that starts up", greetPostgreSQL, postgresError("SFATAL\x00C57P03\x00Mthe database system is starting up\x00"), Unclear, "57P03"},
		{"an error without a code", greetPostgreSQL, postgresError("SFATAL\x00"), "", ""},
		{"a message of 2 GB", greetPostgreSQL, "R\x7f\xff\xff\xff\x00\x00\x00\x00", "", ""},
		{"a message shorter than its length", greetPostgreSQL, "R\x00\x00\x00\x03\x00\x00\x00\x00", "", ""},
		{"an authentication request that is cut", greetPostgreSQL, "R\x00\x00\x00\x06\x00\x00", "", ""},

		{"MySQL without a password of root", greetMySQL, handshake10 + mysqlPacket(2, letIn), Open, "10.11"},
		{"MySQL with a password", greetMySQL, handshake10 + mysqlPacket(2, refused(1045, "#28000Access denied")), Protected, "error 1045: Access denied"},
		{"MySQL that asks for another method first", greetMySQL, handshake10 + mysqlPacket(2, "\xfecaching_sha2_password\x00salt") + mysqlPacket(4, letIn), Open, "OK"},
		{"MySQL that asks for the password itself", greetMySQL, handshake10 + mysqlPacket(2, "\x01\x04"), Protected, "password itself"},
		{"MySQL that asks for ever", greetMySQL, handshake10 + strings.Repeat(mysqlPacket(2, "\xfe"), 100), "", ""},
		{"MySQL that lets no host in", greetMySQL, mysqlPacket(0, refused(1130, "Host '10.0.0.1' is not allowed to connect")), Protected, "1130"},
		{"MySQL that is full", greetMySQL, mysqlPacket(0, refused(1040, "Too many connections")), Unclear, "1040"},
		{"MySQL of before 4.1", greetMySQL, mysqlPacket(0, "\x0a3.23\x00\x01\x00\x00\x00abcdefgh\x00\x2c\x00\x08\x02\x00"), "", ""},
		{"a handshake that is cut", greetMySQL, mysqlPacket(0, "\x0a10.11\x00\x01\x00"), "", ""},
		{"a packet of nothing", greetMySQL, mysqlPacket(0, ""), "", ""},
		{"a packet of 16 MB", greetMySQL, "\xff\xff\xff\x00\x0a", "", ""},
		{"a login that is answered by nonsense", greetMySQL, handshake10 + mysqlPacket(2, "abc"), "", ""},
	} {
		openness, seen, err := from(c.talk, []byte(c.said))
		if (err != nil) != (c.want == "") || openness != c.want || !strings.Contains(seen, c.seen) {
			t.Errorf("%s: %q, %q, %v; want %q with %q", c.name, openness, seen, err, c.want, c.seen)
		}
	}
}

// What is let in says good-bye, so that no session stays behind.
func TestLeaveIsTaken(t *testing.T) {
	for _, c := range []struct {
		talk       dialogue
		said, last string
	}{
		{greetPostgreSQL, "R\x00\x00\x00\x08\x00\x00\x00\x00", "X\x00\x00\x00\x04"},
		{greetMySQL, handshake10 + mysqlPacket(2, letIn), mysqlPacket(0, "\x01")},
	} {
		var sent bytes.Buffer
		openness, _, err := c.talk(struct {
			io.Reader
			io.Writer
		}{strings.NewReader(c.said), &sent})
		if openness != Open || err != nil || !strings.HasSuffix(sent.String(), c.last) {
			t.Errorf("%q, %v; sent %q, want %q last", openness, err, sent.String(), c.last)
		}
	}
}

func TestHTTPAnswers(t *testing.T) {
	for _, c := range []struct {
		name   string
		judge  func(answer) (Openness, string, error)
		status int
		header http.Header
		body   string
		want   Openness
		seen   string
	}{
		{"Elasticsearch", judgeElasticsearch, 200, nil, `{"name":"n","cluster_name":"logs","version":{"number":"7.17.0"},"tagline":"You Know, for Search"}`, Open, "elasticsearch 7.17.0, cluster logs"},
		{"OpenSearch", judgeElasticsearch, 200, nil, `{"cluster_name":"logs","version":{"distribution":"opensearch","number":"2.11.0"}}`, Open, "opensearch 2.11.0"},
		{"Elasticsearch with security", judgeElasticsearch, 401, http.Header{"Www-Authenticate": {`Basic realm="security"`}}, `{"error":{}}`, Protected, `401 Unauthorized, WWW-Authenticate: Basic`},
		{"another service's JSON", judgeElasticsearch, 200, nil, `{"version":"1"}`, "", ""},
		{"a page", judgeElasticsearch, 200, nil, `<html>`, "", ""},
		{"Docker", judgeDocker, 200, nil, `{"Version":"24.0.5","ApiVersion":"1.43"}`, Open, "version 24.0.5, API 1.43"},
		{"Docker with a plugin", judgeDocker, 403, nil, `{"message":"authorization denied by plugin"}`, Protected, "403 Forbidden: "},
		{"a version of something else", judgeDocker, 200, nil, `{"Version":"24.0.5"}`, "", ""},
		{"an error of Docker", judgeDocker, 500, nil, `{"ApiVersion":"1.43"}`, "", ""},
		{"Jupyter", judgeJupyter, 200, nil, `[{"id":"a","name":"python3"},{"id":"b"}]`, Open, "kernels that run: 2"},
		{"Jupyter with no kernel", judgeJupyter, 200, nil, `[]`, Open, "kernels that run: 0"},
		{"Jupyter with a token", judgeJupyter, 403, nil, `{"message": "Forbidden"}`, Protected, "403"},
		{"Jupyter that sends to its login", judgeJupyter, 302, http.Header{"Location": {"/login?next=%2Fapi%2Fkernels"}}, ``, Protected, "/login"},
		{"a redirect to elsewhere", judgeJupyter, 302, http.Header{"Location": {"/home"}}, ``, "", ""},
		{"another array", judgeJupyter, 200, nil, `[{"x":1}]`, "", ""},
		{"null", judgeJupyter, 200, nil, `null`, "", ""},
		{"etcd", judgeEtcd, 200, nil, `{"header":{"cluster_id":"133","revision":"7"},"count":"1"}`, Open, "cluster 133, revision 7"},
		{"etcd with users", judgeEtcd, 400, nil, `{"error":"etcdserver: user name is empty","code":3}`, Protected, "user name is empty"},
		{"etcd that refuses", judgeEtcd, 403, nil, `{"error":"etcdserver: permission denied","code":7}`, Protected, "403"},
		{"etcd without a leader", judgeEtcd, 503, nil, `{"error":"etcdserver: no leader","code":14}`, "", ""},
		{"what has no such path", judgeEtcd, 404, nil, `404 page not found`, "", ""},
	} {
		openness, seen, err := c.judge(answer{c.status, c.header, []byte(c.body)})
		if (err != nil) != (c.want == "") || openness != c.want || !strings.Contains(seen, c.seen) {
			t.Errorf("%s: %q, %q, %v; want %q with %q", c.name, openness, seen, err, c.want, c.seen)
		}
	}
}

// The bytes are the examples of https://bsonspec.org/faq.html.
func TestBSON(t *testing.T) {
	const hello = "\x16\x00\x00\x00\x02hello\x00\x06\x00\x00\x00world\x00\x00"
	if got := string(bsonDocument(bsonElement(bsonString, "hello", bsonText("world")))); got != hello {
		t.Errorf("%q", got)
	}
	document, err := parseBSON([]byte(hello + "what follows"))
	if err != nil || len(document) != 1 || document["hello"].text() != "world" {
		t.Errorf("%v, %v", document, err)
	}
	const array = "\x31\x00\x00\x00\x04BSON\x00\x26\x00\x00\x00\x02\x30\x00\x08\x00\x00\x00awesome\x00\x01\x31\x00\x33\x33\x33\x33\x33\x33\x14\x40\x10\x32\x00\xc2\x07\x00\x00\x00\x00"
	document, err = parseBSON([]byte(array))
	if err != nil {
		t.Fatal(err)
	}
	elements, err := parseBSON(document["BSON"].bytes)
	if err != nil || elements["0"].text() != "awesome" {
		t.Errorf("%v, %v", elements, err)
	}
	for name, want := range map[string]float64{"1": 5.05, "2": 1986} {
		if got, is := bsonNumber(elements[name]); !is || got != want {
			t.Errorf("%s is %v", name, got)
		}
	}
	for name, broken := range map[string]string{
		"nothing":                     "",
		"a length beyond the end":     "\x17" + hello[1:],
		"no closing zero":             hello[:21] + "x",
		"a string beyond the end":     strings.Replace(hello, "\x06", "\x60", 1),
		"a string without its length": "\x0a\x00\x00\x00\x02a\x00\x01\x00\x00",
		"a kind that is unknown":      strings.Replace(hello, "\x02", "\x77", 1),
		"a name without an end":       "\x07\x00\x00\x00\x0aa\x00",
	} {
		if document, err := parseBSON([]byte(broken)); !errors.Is(err, errBSON) {
			t.Errorf("%s: %v, %v", name, document, err)
		}
	}
}

func TestShort(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                        "plain",
		" two\r\nlines\t ":             "two lines",
		"\x1b[31mred\x00":              ".[31mred.",
		"\u202eright to left\xff":      ".right to left.",
		strings.Repeat("ä", 500):       strings.Repeat("ä", seenRunes-1) + "…",
		strings.Repeat("ä", seenRunes): strings.Repeat("ä", seenRunes),
	} {
		if got := short(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
}

// fuzzDialogue feeds a dialogue with what nobody expects.
func fuzzDialogue(f *testing.F, talk dialogue) {
	f.Fuzz(func(t *testing.T, said []byte) {
		openness, seen, err := from(talk, said)
		checkJudged(t, openness, seen, err)
	})
}

func checkJudged(t *testing.T, openness Openness, seen string, err error) {
	t.Helper()
	if (err == nil) != (openness == Open || openness == Protected || openness == Unclear) {
		t.Errorf("%q with %v", openness, err)
	}
	shown := short(seen)
	if utf8.RuneCountInString(shown) > seenRunes || strings.ContainsFunc(shown, func(r rune) bool { return !unicode.IsPrint(r) }) {
		t.Errorf("not fit to be shown: %q", shown)
	}
}

func FuzzRedis(f *testing.F)           { fuzzDialogue(f, greetRedis) }
func FuzzMemcached(f *testing.F)       { fuzzDialogue(f, greetMemcached) }
func FuzzMemcachedBinary(f *testing.F) { fuzzDialogue(f, greetMemcachedBinary) }
func FuzzPostgreSQL(f *testing.F)      { fuzzDialogue(f, greetPostgreSQL) }
func FuzzMySQL(f *testing.F)           { fuzzDialogue(f, greetMySQL) }
func FuzzMongoDB(f *testing.F)         { fuzzDialogue(f, greetMongoDB) }

func FuzzHTTPAnswers(f *testing.F) {
	f.Fuzz(func(t *testing.T, status int, location string, body []byte) {
		a := answer{status, http.Header{"Location": {location}}, body}
		for _, judge := range []func(answer) (Openness, string, error){judgeElasticsearch, judgeDocker, judgeJupyter, judgeEtcd} {
			openness, seen, err := judge(a)
			checkJudged(t, openness, seen, err)
			if openness == Open && a.refuses() {
				t.Errorf("%d counts as open", status)
			}
		}
	})
}

func TestOthersAreNotAsked(t *testing.T) {
	redis, _ := Find("redis-server", "tcp", 6379)
	for _, to := range []string{
		"192.0.2.1:6379", "[2001:db8::1]:6379", "[::ffff:192.0.2.1]:6379", // documentation, RFC 5737 and RFC 3849
		"0.0.0.0:6379", "[::]:6379", "127.255.255.255:6379", "224.0.0.1:6379", "255.255.255.255:6379", "[fe80::1%nowhere]:6379",
	} {
		addr := netip.MustParseAddrPort(to)
		greeting, err := redis.Service.Ask(context.Background(), addr)
		var notLocal *NotLocalError
		if !errors.As(err, &notLocal) || notLocal.Addr != addr.Addr().Unmap() || greeting != (Greeting{}) {
			t.Errorf("%s: %+v, %v", to, greeting, err)
		}
	}
	if _, err := redis.Service.Ask(context.Background(), netip.AddrPort{}); err == nil {
		t.Error("no address at all was asked")
	}
	kafka, _ := Find("", "tcp", 9092)
	if _, err := kafka.Service.Ask(context.Background(), netip.MustParseAddrPort("127.0.0.1:9092")); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("Kafka: %v", err)
	}
}
