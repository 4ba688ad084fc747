// Package http holds the checks of what web servers, APIs and browsers need of
// localhost: that HTTP in all its versions works between programs of this machine,
// and what a round trip of it takes. The servers are the run's own.
package http

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var suite = spec.NewSuiteOnRequest("http", "HTTP: web servers and APIs on localhost", 1000)

// patience bounds what a check asks, which takes milliseconds. The rest is for a
// machine whose processors are busy elsewhere.
const patience = 3 * time.Second

// Causes and remedies that all checks share.
var (
	causes = []string{
		"a transparent proxy, a sidecar of a service mesh or a security product takes connections on lo and answers or rewrites them",
		"a firewall drops, rejects or rewrites segments on lo",
	}
	remedies = []string{
		"see who takes connections: `nft list ruleset | grep -e redirect -e tproxy`, `iptables -t nat -S`, `bpftool cgroup tree`",
		spec.LetLoopbackPass,
	}
)

// and puts what only one check has before what all share.
func and(shared []string, own ...string) []string { return append(own, shared...) }

// damaged is what tests put between a server and its clients.
var damaged struct {
	handler func(http.Handler) http.Handler
	conn    webserver.WrapConn
	// client changes what clients trust.
	client func(*tls.Config)
}

// serve starts a server that ends with the spec.
func serve(ctx context.Context, c webserver.Config) *webserver.Server {
	GinkgoHelper()
	s, err := start(ctx, c)
	Expect(err).NotTo(HaveOccurred())
	return s
}

// start is serve for a server that may be refused its port.
func start(ctx context.Context, c webserver.Config) (*webserver.Server, error) {
	c.Wrap, c.WrapConn = damaged.handler, damaged.conn
	protocol, to := "tcp", c.At
	if c.HTTP3 {
		protocol = "udp"
	}
	if !to.IsValid() {
		to = sock.IPv4.Loopback(0)
	}
	spec.Flow(protocol, to)
	s, err := webserver.Start(ctx, c)
	if err == nil {
		DeferCleanup(s.Close)
	}
	return s, err
}

// onIPv6 is a free port of ::1.
var onIPv6 = netip.AddrPortFrom(netip.IPv6Loopback(), 0)

// newClient makes a client that ends with the spec.
func newClient(o web.Options) *web.Client {
	GinkgoHelper()
	if damaged.client != nil && o.TLS != nil {
		damaged.client(o.TLS)
	}
	c, err := web.New(o)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(c.Close)
	return c
}

// call is a request.
type call struct {
	method string // GET where it is empty
	url    string
	header http.Header
	body   string
}

// ask sends a request, whose response must come.
func ask(ctx context.Context, client *web.Client, c call) *web.Response {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, c.method, c.url, bodyOf(c.body))
	Expect(err).NotTo(HaveOccurred())
	for name, values := range c.header {
		request.Header[name] = values
	}
	return send(ctx, client, request)
}

// send is ask for a request that is there.
func send(ctx context.Context, client *web.Client, request *http.Request) *web.Response {
	GinkgoHelper()
	load := spec.StartLoad()
	response, err := client.Ask(ctx, request)
	excuse(load, err)
	Expect(err).NotTo(HaveOccurred())
	return response
}

// excuse ends the spec as inconclusive where a request failed by its time limit on a
// machine that was short of processors since then. The handshake of TCP is the
// kernel's alone, and over loopback done within connect(2): no such machine delays it
// for seconds.
func excuse(load spec.Load, err error) {
	GinkgoHelper()
	if failed, is := errors.AsType[*web.Error](err); !is || failed.Step != web.Connect {
		load.ExcuseTimeout(err)
	}
}

func bodyOf(text string) io.Reader {
	if text == "" {
		return nil
	}
	return bytes.NewReader([]byte(text))
}

// get asks for a URL, with header fields that come in pairs of name and value.
func get(ctx context.Context, client *web.Client, url string, fields ...string) *web.Response {
	GinkgoHelper()
	return ask(ctx, client, call{url: url, header: header(fields...)})
}

// header makes one of pairs of name and value.
func header(fields ...string) http.Header {
	h := http.Header{}
	for i := 0; i+1 < len(fields); i += 2 {
		h.Add(fields[i], fields[i+1])
	}
	return h
}

// expectStatus compares the status of a response.
func expectStatus(r *web.Response, want int, what string) {
	GinkgoHelper()
	Expect(status(r.Status)).To(Equal(status(want)), "%s", what)
}

// expectBytes compares a body with what was sent.
func expectBytes(got, want []byte, what string) {
	GinkgoHelper()
	if !bytes.Equal(got, want) {
		Expect(got).To(HaveLen(len(want)), "%s: bytes", what)
		at := 0
		for got[at] == want[at] {
			at++
		}
		Fail(fmt.Sprintf("%s: byte %d of %d is not what was sent", what, at, len(want)))
	}
}

// status is one with its name.
func status(code int) string { return fmt.Sprintf("%d %s", code, http.StatusText(code)) }

// told is a response that should not have come, in a few words.
func told(r *web.Response) string {
	if r == nil {
		return "no response"
	}
	return fmt.Sprintf("%s, with %d bytes", status(r.Status), len(r.Body))
}
