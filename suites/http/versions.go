package http

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"sync"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("speaks HTTP/2 over TLS, a hundred requests at once on one connection", check.Check{
	ID: "HTTP-030", Grade: check.GradeFail,
	Source: "RFC 9113 3.2, 5.1.2; RFC 7301 (ALPN)",
	Asks:   "Makes 100 requests at once to a server of TLS that offers h2: all must be answered as HTTP/2, over one connection, with h2 agreed on by ALPN.",
	Why:    "Browsers speak HTTP/2 over TLS alone, and gRPC nothing else. What takes TLS apart on its way and knows HTTP/1.1 only turns it back unnoticed.",
	Causes: and(causes, "a product that inspects TLS takes part in the handshake and offers no h2"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	secure, trust := trusted()
	server := serve(bounded, webserver.Config{TLS: secure, HTTP2: true})
	client := newClient(web.Options{Version: web.HTTP2, TLS: trust})
	response := get(bounded, client, server.URL("/"))
	expectPage(response)
	Expect(response.TLS.NegotiatedProtocol).To(Equal("h2"), "what ALPN agreed on")
	atOnce(bounded, client, server)
})

// atOnce makes a hundred requests of HTTP/2 at once to a server that had one
// connection, and expects it to have no other.
func atOnce(ctx context.Context, client *web.Client, server *webserver.Server) {
	GinkgoHelper()
	const requests = 100
	load := spec.StartLoad()
	responses, failures := make([]*web.Response, requests), make([]error, requests)
	var asking sync.WaitGroup
	for i := range requests {
		asking.Go(func() { responses[i], failures[i] = client.Get(ctx, server.URL("/seen")) })
	}
	asking.Wait()
	for i, response := range responses {
		excuse(load, failures[i])
		Expect(failures[i]).NotTo(HaveOccurred(), "request %d of %d", i+1, requests)
		Expect(response.Version).To(Equal(web.HTTP2), "the version of response %d", i+1)
		Expect(seenBy(response).Version).To(Equal(string(web.HTTP2)), "the version that the server saw of request %d", i+1)
	}
	Expect(server.Connections()).To(Equal(1), "connections that the server was given")
}

var _ = suite.It("speaks HTTP/2 in cleartext with prior knowledge", check.Check{
	ID: "HTTP-031", Grade: check.GradeFail,
	Source: "RFC 9113 3.3, 3.4 (the connection preface)",
	Asks:   "Begins HTTP/2 without TLS and without asking, as gRPC does between services of one machine, and makes 100 requests at once: all must be answered as HTTP/2, over one connection.",
	Why:    "gRPC between a service and its sidecar is this. To a proxy that knows HTTP/1.1 alone the preface is a request that it answers with 400.",
	Causes: and(causes, "a proxy in between takes every connection for HTTP/1.1"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server := serve(bounded, webserver.Config{HTTP2: true})
	client := newClient(web.Options{Version: web.HTTP2})
	expectPage(get(bounded, client, server.URL("/")))
	atOnce(bounded, client, server)
})

var _ = suite.It("answers other streams of HTTP/2 while one is not read", check.Check{
	ID: "HTTP-032", Grade: check.GradeFail,
	Source: "RFC 9113 5.2 (flow control of a stream), 5.2.2, 6.9",
	Asks:   "Asks for 16 MiB over HTTP/2 and does not read them. 20 requests over the same connection must be answered meanwhile, and then the 16 MiB must come without a wrong byte.",
	Why:    "One slow download must not stop the others of its page, or the other calls of a gRPC channel.",
	Causes: and(causes, "a proxy in between copies streams one after the other"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, 2*patience)
	secure, trust := trusted()
	server := serve(bounded, webserver.Config{TLS: secure, HTTP2: true})
	client := newClient(web.Options{Version: web.HTTP2, TLS: trust})
	request, err := http.NewRequestWithContext(bounded, http.MethodGet, server.URL(fmt.Sprintf("/bytes?n=%d", largeBytes)), nil)
	Expect(err).NotTo(HaveOccurred())
	load := spec.StartLoad()
	unread, err := client.Stream(bounded, request)
	excuse(load, err)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = unread.Body.Close() })

	for range 20 {
		expectPage(get(bounded, client, server.URL("/")))
	}
	body, err := io.ReadAll(unread.Body)
	excuse(load, err)
	Expect(err).NotTo(HaveOccurred(), "read what was left unread")
	expectBytes(body, webserver.Pattern(largeBytes), "what was left unread")
	Expect(server.Connections()).To(Equal(1), "connections that the server was given")
})

var _ = suite.It("speaks HTTP/3 over UDP on 127.0.0.1 and ::1", check.Check{
	ID: "HTTP-033", Grade: check.GradeFail,
	Source: "RFC 9114 3.1, 4; RFC 9000 14 (datagrams of 1,200 bytes at least), 7 (handshake)",
	Asks:   "Starts a server of HTTP/3 on a free UDP port of 127.0.0.1, and of ::1 where there is IPv6, asks it for a page and for 4 MiB, and posts 4 MiB: all must be answered as HTTP/3, without a wrong byte.",
	Why:    "Browsers try HTTP/3 and fall back in silence, so that a path that loses its datagrams shows as slowness and nowhere else.",
	Causes: and(causes, "a firewall lets TCP pass and drops UDP", "the MTU of lo is below what a datagram of QUIC takes: 1,228 bytes with IPv4, 1,248 with IPv6"),
	Remedies: and(remedies,
		"raise the MTU: `ip link set dev lo mtu 65536`", "give UDP sockets room: `sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000`"),
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, 2*patience)
	places := []netip.AddrPort{sock.IPv4.Loopback(0)}
	if why := spec.LacksIPv6(); why != "" {
		spec.Evidence("IPv6", "not asked: %s", why)
	} else {
		places = append(places, onIPv6)
	}
	const size = 4 << 20
	body := webserver.Pattern(size)
	for _, at := range places {
		secure, trust := trusted()
		server := serve(bounded, webserver.Config{At: at, TLS: secure, HTTP3: true})
		client := newClient(web.Options{Version: web.HTTP3, TLS: trust})
		page := get(bounded, client, server.URL("/"))
		expectPage(page)
		Expect(page.Version).To(Equal(web.HTTP3), "the version of the response")
		down := get(bounded, client, server.URL(fmt.Sprintf("/bytes?n=%d", size)))
		expectStatus(down, http.StatusOK, "GET of 4 MiB")
		expectBytes(down.Body, body, "what was got")
		up := ask(bounded, client, call{http.MethodPost, server.URL("/sum"), nil, string(body)})
		expectSum(up, webserver.Sum{Bytes: size, Digest: digestOf(body), Method: http.MethodPost})
		spec.Evidence(fmt.Sprintf("HTTP/3 on %s", at.Addr()), "the handshake took %v, 4 MiB down %v and up %v", page.Timings.TLS, down.Timings.Total, up.Timings.Total)
	}
})
