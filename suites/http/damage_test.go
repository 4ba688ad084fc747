package http

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/suites/spec/damage"
)

func TestEveryCheckPassesInAnUndamagedNamespace(t *testing.T) { damage.EveryCheckPasses(t, nil) }

func TestEveryCheckPassesWithoutIPv6(t *testing.T) {
	damage.EveryCheckPasses(t, []string{"sysctl -e -w net.ipv6.conf.all.disable_ipv6=1"})
}

// A proxy of the environment is for others. That localhost is left out is what one
// check asks.
func TestEveryCheckPassesBesideAProxy(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:9")
	}
	t.Setenv("no_proxy", "example.com, localhost,127.0.0.0/8")
	damage.EveryCheckPasses(t, nil)
}

func TestAProxyForLocalhostIsSeen(t *testing.T) {
	t.Setenv("no_proxy", "")
	t.Setenv("NO_PROXY", "localhost")
	t.Setenv("https_proxy", "http://user:secret@proxy.example:3128")
	outcomes := damage.Outcomes(t, nil, "HTTP-034")
	g := NewWithT(t)
	g.Expect(outcomes).To(HaveKeyWithValue("HTTP-034", And(
		HaveField("State", check.Warn),
		HaveField("Message", And(ContainSubstring("https_proxy=http://…@proxy.example:3128, and no_proxy does not have 127.0.0.1"), Not(ContainSubstring("secret")))))))
}

// A client that cannot read what the machine trusts refuses a certificate as well.
func TestATrustStoreThatCannotBeReadKnowsNobody(t *testing.T) {
	t.Setenv("SSL_CERT_FILE", t.TempDir()) // which is no file
	t.Setenv("SSL_CERT_DIR", filepath.Join(t.TempDir(), "none"))
	outcomes := damage.Outcomes(t, nil, "HTTP-038")
	NewWithT(t).Expect(outcomes).To(HaveKeyWithValue("HTTP-038", HaveField("State", check.Pass)), "%v", outcomes)
}

// A check that fails tells the error that came in the place of another.
func TestTheErrorThatCameIsTold(t *testing.T) {
	came := fmt.Errorf("refused: %w", x509.UnknownAuthorityError{})
	g, matcher := NewWithT(t), matchAs[x509.HostnameError]()
	g.Expect(matcher.Match(came)).To(BeFalse())
	g.Expect(matcher.FailureMessage(came)).To(Equal("Expected\n    " + came.Error() + "\nto be a x509.HostnameError"))
	g.Expect(matchAs[x509.UnknownAuthorityError]().Match(came)).To(BeTrue())
}

// behind damages the server's side of each request.
func behind(change func(w http.ResponseWriter, r *http.Request) bool) func() {
	return func() {
		damaged.handler = func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if change(w, r) {
					next.ServeHTTP(w, r)
				}
			})
		}
	}
}

// without takes a field from each request.
func without(field string) func() {
	return behind(func(_ http.ResponseWriter, r *http.Request) bool {
		r.Header.Del(field)
		return true
	})
}

// gateway answers in the server's place.
var gateway = behind(func(w http.ResponseWriter, _ *http.Request) bool {
	http.Error(w, "who is there?", http.StatusBadGateway)
	return false
})

// rewriter changes what a server of cleartext writes.
type rewriter struct {
	net.Conn
	before, after []byte
}

func (r rewriter) Write(p []byte) (int, error) {
	if _, err := r.Conn.Write(bytes.ReplaceAll(p, r.before, r.after)); err != nil {
		return 0, err
	}
	return len(p), nil
}

func rewriting(before, after string) func() {
	return func() {
		damaged.conn = func(c net.Conn) net.Conn { return rewriter{c, []byte(before), []byte(after)} }
	}
}

// clients changes how clients of TLS trust.
func clients(change func(*tls.Config)) func() { return func() { damaged.client = change } }

func TestChecksFailWhereSomethingAnswersInBetween(t *testing.T) {
	const badGateway = "502 Bad Gateway"
	everyone := map[string]string{}
	for _, c := range check.All() {
		// These are not answered by what a handler answers, or have no server of it.
		others := c.ID >= "HTTP-040" && c.ID <= "HTTP-059"
		if !others && !slices.Contains([]string{"HTTP-023", "HTTP-025", "HTTP-026", "HTTP-027", "HTTP-034", "HTTP-036", "HTTP-037", "HTTP-038", "HTTP-039", "HTTP-065"}, c.ID) {
			everyone[c.ID] = "502"
		}
	}
	filter := strings.Join(slices.Collect(maps.Keys(everyone)), " || ")
	damage.Table(t, map[string]damage.Case{
		"a gateway that knows no server": {Inside: gateway, Filter: filter, Want: everyone},
		"another page": {
			Inside: rewriting("This server", "That server"),
			Filter: "HTTP-001 || HTTP-003 || HTTP-063",
			Want: map[string]string{
				"HTTP-001": "the page: byte 44 of", "HTTP-003": "the page: byte 44 of", "HTTP-063": "is not the page",
			},
		},
		"no PATCH": {
			Inside: behind(func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method == http.MethodPatch {
					w.WriteHeader(http.StatusNotImplemented)
				}
				return r.Method != http.MethodPatch
			}),
			Filter: "HTTP-004 || HTTP-005",
			Want:   map[string]string{"HTTP-004": "PATCH of the note\nExpected\n    501 Not Implemented\nto equal\n    200 OK"},
		},
		"no tags": {
			Inside: rewriting("\r\nEtag: ", "\r\nX-Tag: "),
			Filter: "HTTP-005 || HTTP-006 || HTTP-007 || HTTP-008",
			Want:   map[string]string{"HTTP-005": "the header of HEAD", "HTTP-007": "the tag of a 304", "HTTP-008": "the tag of a note"},
		},
		"another reason to refuse": {
			Inside: rewriting("405 Method Not Allowed", badGateway), Filter: "HTTP-006",
			Want: map[string]string{"HTTP-006": "DELETE of a list"},
		},
		"no conditions on tags": {
			Inside: without("If-None-Match"), Filter: "HTTP-007 || HTTP-008",
			Want: map[string]string{"HTTP-007": "GET with its tag", "HTTP-008": "PUT of a note that is there, if there is none"},
		},
		"no conditions on changes": {
			Inside: without("If-Match"), Filter: "HTTP-008",
			Want: map[string]string{"HTTP-008": "the second PUT with the same tag"},
		},
		"from a cache": {
			Inside: rewriting("Cache-Control: no-store", "Age: 10"), Filter: "HTTP-009",
			Want: map[string]string{"HTTP-009": "the header of what was not stored"},
		},
		"a cache with a clock of its own": {
			Inside: rewriting("Date: ", "Date: Sat, 01 Jan 2000 00:00:00 GMT\r\nX-Date: "), Filter: "HTTP-009",
			Want: map[string]string{"HTTP-009": "the Date of the response"},
		},
		"no ranges": {
			Inside: without("Range"), Filter: "HTTP-010 || HTTP-011 || HTTP-012 || HTTP-022",
			Want: map[string]string{
				"HTTP-010": "GET of bytes=0-99", "HTTP-011": "GET of three ranges", "HTTP-012": "GET of a range", "HTTP-022": "response 1 of 20",
			},
		},
		"one range": {
			Inside: behind(func(_ http.ResponseWriter, r *http.Request) bool {
				first, _, _ := strings.Cut(r.Header.Get("Range"), ",")
				r.Header.Set("Range", first)
				return true
			}),
			Filter: "HTTP-010 || HTTP-011",
			Want:   map[string]string{"HTTP-011": "Content-Type of three ranges"},
		},
		"ranges of any version": {
			Inside: without("If-Range"), Filter: "HTTP-010 || HTTP-012",
			Want: map[string]string{"HTTP-012": `GET of a range with If-Range: "other"`},
		},
		"bodies with their length": {
			Inside: behind(func(_ http.ResponseWriter, r *http.Request) bool {
				r.TransferEncoding = nil
				return true
			}),
			Filter: "HTTP-013 || HTTP-014",
			Want:   map[string]string{"HTTP-013": "what the server was sent"},
		},
		"no trailers": {
			Inside: rewriting("\r\nContent-Digest: ", "\r\nX-Digest: "), Filter: "HTTP-013",
			Want: map[string]string{"HTTP-013": "the trailer of the response"},
		},
		"no 100": {
			Inside: rewriting("HTTP/1.1 100 Continue\r\n\r\n", ""), Filter: "HTTP-014 || HTTP-015",
			Want: map[string]string{"HTTP-014": "wait for the header of the response"},
		},
		"a body is taken at once": {
			Inside: behind(func(_ http.ResponseWriter, r *http.Request) bool {
				_, _ = io.Copy(io.Discard, r.Body)
				return true
			}),
			Filter: "HTTP-015",
			Want:   map[string]string{"HTTP-015": "100 came from a server that refuses the body"},
		},
		"compressed for all": {
			Inside: behind(func(_ http.ResponseWriter, r *http.Request) bool {
				r.Header.Set("Accept-Encoding", "gzip")
				return true
			}),
			Filter: "HTTP-017",
			Want:   map[string]string{"HTTP-017": "without gzip"},
		},
		"a connection for each request": {
			Inside: behind(func(w http.ResponseWriter, _ *http.Request) bool {
				w.Header().Set("Connection", "close")
				return true
			}),
			Filter: "HTTP-005 || HTTP-018 || HTTP-019 || HTTP-061",
			Want: map[string]string{
				"HTTP-005": "connections that the server was given", "HTTP-018": "ports that 100 requests came from",
				"HTTP-019": "connections that the server was given",
				"HTTP-061": "connections over which requests were answered",
			},
		},
		"another timeout": {
			Inside: rewriting("408 Request Timeout", "504 Gateway Timeout"), Filter: "HTTP-024",
			Want: map[string]string{"HTTP-024": "POST of a body that stops"},
		},
		"requests of two meanings": {
			Inside: rewriting("400 Bad Request", "200 OK"), Filter: "HTTP-027",
			Want: map[string]string{"HTTP-027": "a request with"},
		},
		"no memory of events": {
			Inside: without("Last-Event-ID"), Filter: "HTTP-028",
			Want: map[string]string{"HTTP-028": "the event that came after the break"},
		},
		"no upgrade": {
			Inside: without("Upgrade"), Filter: "HTTP-029",
			Want: map[string]string{"HTTP-029": "open a WebSocket"},
		},
		"signs of a proxy": {
			Inside: rewriting("\r\nDate: ", "\r\nVia: 1.1 proxy\r\nDate: "), Filter: "HTTP-034",
			Want: map[string]string{"HTTP-034": "the header of the response"},
		},
		"TLS 1.2 at most": {
			Inside: clients(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }), Filter: "HTTP-035 || HTTP-030",
			Want: map[string]string{"HTTP-035": "the version of TLS\nExpected\n    TLS 1.2\nto equal\n    TLS 1.3"},
		},
		"TLS 1.3 at least": {
			Inside: clients(func(c *tls.Config) { c.MinVersion, c.MaxVersion = tls.VersionTLS13, 0 }), Filter: "HTTP-036",
			Want: map[string]string{"HTTP-036": "the version of TLS"},
		},
		"whoever is trusted": {
			Inside: clients(func(c *tls.Config) { c.InsecureSkipVerify = true }),
			Filter: "HTTP-037 || HTTP-038 || HTTP-039",
			Want: map[string]string{
				"HTTP-037": "a handshake that must fail: 200 OK, with 98 bytes", "HTTP-038": "a handshake that must fail: 200 OK, with 98 bytes",
				"HTTP-039": "a handshake that must fail: 200 OK, with 98 bytes",
			},
		},
		"nobody is trusted": {
			Inside: clients(func(c *tls.Config) { c.RootCAs = nil }),
			Filter: "HTTP-030 || HTTP-033 || HTTP-035 || HTTP-036 || HTTP-060",
			Want: map[string]string{
				"HTTP-030": "certificate signed by unknown authority", "HTTP-033": "certificate signed by unknown authority",
				"HTTP-035": "certificate signed by unknown authority", "HTTP-036": "certificate signed by unknown authority",
				"HTTP-060": "certificate signed by unknown authority",
			},
		},
	})
}

func TestChecksFailInADamagedStack(t *testing.T) {
	const connecting, waiting = "connect, after", "wait for the header of the response, after"
	noEnd := damage.Input("tcp flags & (fin | rst) != 0x0 drop")
	damage.Table(t, map[string]damage.Case{
		"a port dropped": {
			Setup: damage.Input("tcp dport 62893 drop"), Filter: "HTTP-001 || HTTP-004",
			Want: map[string]string{"HTTP-001": connecting},
		},
		"IPv6 dropped": {
			Setup: damage.Input("meta nfproto ipv6 tcp flags syn drop"), Filter: "HTTP-002 || HTTP-004",
			Want: map[string]string{"HTTP-002": connecting}, IPv6: true,
		},
		"localhost is somebody else": {
			Setup: damage.File("/etc/hosts", "192.0.2.1 localhost\n"), Filter: "HTTP-001 || HTTP-003",
			Want: map[string]string{"HTTP-003": "the hosts file gives localhost 192.0.2.1"},
		},
		"connections refused": {
			Setup:  damage.Input("tcp flags & (syn | ack) == syn reject with tcp reset"),
			Filter: "HTTP-018 || HTTP-022 || HTTP-025 || HTTP-027 || HTTP-034 || HTTP-065",
			Want: map[string]string{
				"HTTP-018": "connection refused", "HTTP-022": "connection refused", "HTTP-025": "what the client waited for: ",
				"HTTP-027": "connection refused", "HTTP-034": "connection refused", "HTTP-065": "connection refused",
			},
		},
		"segments rewritten": {
			Setup: damage.Input("meta l4proto tcp meta length gt 4000 numgen inc mod 20 == 19 @th,800,8 set 0xee"), Filter: "HTTP-016",
			Want: map[string]string{"HTTP-016": ""},
		},
		"large segments lost": {
			Setup: damage.Input("meta l4proto tcp meta length gt 20000 drop"), Filter: "HTTP-001 || HTTP-016",
			Want: map[string]string{"HTTP-016": "POST http://127.0.0.1"},
		},
		"no end comes through": {
			Setup:  noEnd,
			Filter: "HTTP-020 || HTTP-021 || HTTP-023 || HTTP-025 || HTTP-026",
			Want: map[string]string{
				"HTTP-020": waiting, "HTTP-021": waiting, "HTTP-023": "the end of slow connection 1 of 50",
				"HTTP-025": "the end of the connection, at the server", "HTTP-026": "the end of the request, at the server",
			},
		},
		"UDP dropped": {
			Setup: damage.Input("meta l4proto udp drop"), Filter: "HTTP-033 || HTTP-064 || HTTP-030",
			Want: map[string]string{"HTTP-033": "TLS handshake, after", "HTTP-064": "requests of 1000 that failed"},
		},
		"an MTU too small for QUIC": {
			Setup: []string{"ip link set dev lo mtu 1200"}, Filter: "HTTP-033 || HTTP-030",
			Want: map[string]string{"HTTP-033": "TLS handshake, after"},
		},
		"some connections refused": {
			Setup:  damage.Input("tcp flags & (syn | ack) == syn numgen inc mod 16 == 15 reject with tcp reset"),
			Filter: "HTTP-060 || HTTP-062 || HTTP-063",
			Want: map[string]string{
				"HTTP-060": "requests of 128 that failed", "HTTP-062": "requests of 512 that failed", "HTTP-063": "requests of 10000 that failed",
			},
		},
		"data lost": {
			Setup: damage.Input("meta l4proto tcp meta length gt 100 drop"), Filter: "HTTP-061 || HTTP-065",
			Want: map[string]string{"HTTP-061": "requests of 1000 that failed", "HTTP-065": "http round trip"},
		},
	})
}

func TestExceptions(t *testing.T) {
	for _, c := range []struct {
		variable, host string
		want           bool
	}{
		{"no_proxy=localhost,127.0.0.1", "127.0.0.1", true},
		{"no_proxy=example.com, localhost", "localhost", true},
		{"NO_PROXY=127.0.0.0/8", "127.0.0.1", true},
		{"NO_PROXY=.localhost", "localhost", true},
		{"NO_PROXY=*", "localhost", true},
		{"NO_PROXY=LOCALHOST", "localhost", true},
		{"NO_PROXY=", "localhost", false},
		{"NO_PROXY=localhost.example", "localhost", false},
		{"NO_PROXY=10.0.0.0/8", "127.0.0.1", false},
		{"NO_PROXY=127.0.0.0/8", "localhost", false},
	} {
		if got := excepts(c.variable, c.host); got != c.want {
			t.Errorf("%s has %s: %v, want %v", c.variable, c.host, got, c.want)
		}
	}
}

func TestSecretsOfAProxyAreNotShown(t *testing.T) {
	for url, want := range map[string]string{
		"http://proxy:3128":                "http://proxy:3128",
		"http://user:p@ss@proxy:3128":      "http://…@proxy:3128",
		"user:secret@proxy":                "…@proxy",
		"socks5h://token@127.0.0.1:9050/x": "socks5h://…@127.0.0.1:9050/x",
	} {
		if got := withoutSecret(url); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
}
