package http

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// closers are who ends connections that others meant to keep.
var closers = "a proxy in between closes the connection after each response, or has an idle timeout shorter than the server's"

var _ = suite.It("keeps one connection for a hundred requests", check.Check{
	ID: "HTTP-018", Grade: check.GradeFail,
	Source: "RFC 9112 9.3",
	Asks:   "Makes 100 requests one after the other: the server must be given one connection, and see all of them come from the same port.",
	Why:    "Without it each request costs a handshake and leaves a port in TIME_WAIT: at some 470 requests a second there are no ports left.",
	Causes: and(causes, closers), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	const requests = 100
	load := spec.StartLoad()
	from := map[string]int{}
	for range requests {
		from[seenBy(get(bounded, client, server.URL("/seen"))).Remote]++
	}
	expectKept(load, len(from), 1, "ports that 100 requests came from")
	expectKept(load, server.Connections(), 1, "connections that the server was given")
})

// fewGivenUp is how many connections a client may give up for want of a processor.
const fewGivenUp = 10

// expectKept expects a number of connections. Go's client gives one up whose request
// was not done with 50 ms after its response was: on a machine that is short of
// processors there may be a few more.
func expectKept(load spec.Load, got, want int, what string) {
	GinkgoHelper()
	if how, starved := load.Starved(); got > want && got <= want+fewGivenUp && starved {
		spec.Inconclusive("%s: %d where %d are enough, but %s", what, got, want, how)
	}
	Expect(got).To(Equal(want), "%s", what)
}

var _ = suite.It("goes on over another connection where a server limits the requests of one", check.Check{
	ID: "HTTP-019", Grade: check.GradeFail,
	Source: "RFC 9112 9.6 (Connection: close)",
	Asks:   "Makes 35 requests to a server that takes 10 over one connection, and says so with the last: every one must be answered, over 4 connections.",
	Why:    "nginx ends a connection after 1,000 requests, and so do most servers at some number. A client that does not hear of it loses the next request.",
	Causes: and(causes, closers, "a proxy in between removes Connection: close"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{MaxRequests: 10}), newClient(web.Options{})
	load := spec.StartLoad()
	for i := range 35 {
		expectStatus(get(bounded, client, server.URL("/seen")), http.StatusOK, fmt.Sprintf("request %d of 35", i+1))
	}
	expectKept(load, server.Connections(), 4, "connections that the server was given")
})

var _ = suite.It("connects anew after the server has ended an idle connection", check.Check{
	ID: "HTTP-020", Grade: check.GradeFail,
	Source: "RFC 9112 9.5, 9.3.1",
	Asks:   "Makes a request to a server whose idle timeout is 10 ms, waits until the server has ended the connection, and makes another, three times: each must be answered, over a connection of its own.",
	Why:    "Every pool meets this at night. Where the end of the connection does not come through, the first request of the morning is sent into nothing, and waits for TCP to give up, which takes minutes.",
	Causes: and(causes, closers, "a firewall drops FIN or RST on lo"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{IdleTimeout: 10 * time.Millisecond}), newClient(web.Options{})
	const rounds = 3
	load := spec.StartLoad()
	for range rounds {
		expectPage(get(bounded, client, server.URL("/")))
		err := server.AwaitClosed(bounded)
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "the end of an idle connection, at the server")
	}
	Expect(server.Connections()).To(Equal(rounds), "connections that the server was given")
})

var _ = suite.It("loses no request to a connection that the server ends at that moment", check.Check{
	ID: "HTTP-021", Grade: check.GradeFail,
	Source: "RFC 9112 9.3.1 (a client may repeat an idempotent request), 9.5; RFC 9293 3.10.7.4",
	Asks:   "Makes 200 GETs, back to back, to a server that ends each connection without a word once its response is sent, so that the end meets the next request at every moment it can: all must be answered, some at their second try.",
	Why:    "An idle timeout that runs out just as the next request is sent is the commonest cause of a rare 502. It is harmless where the reset or FIN arrives, since a client may then try again.",
	Causes: and(causes, "a firewall drops RST or FIN on lo"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{CloseIdle: true}), newClient(web.Options{})
	const requests = 200
	reused := 0
	for i := range requests {
		response := get(bounded, client, server.URL("/file"), "Range", "bytes=0-99")
		expectStatus(response, http.StatusPartialContent, fmt.Sprintf("request %d of %d", i+1, requests))
		if response.Reused {
			reused++
		}
	}
	spec.Evidence("connections", "%d for %d requests; %d were answered over one that was used before", server.Connections(), requests, reused)
})

// dialed is a connection without a client.
type dialed struct {
	net.Conn
	in *bufio.Reader
}

// connect connects to a server by itself. It ends with the context and the spec.
func connect(ctx context.Context, server *webserver.Server) dialed {
	GinkgoHelper()
	conn, err := web.DialContext(ctx, "tcp", server.Addr().String())
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = conn.Close() })
	if deadline, limited := ctx.Deadline(); limited {
		Expect(conn.SetDeadline(deadline)).To(Succeed())
	}
	return dialed{conn, bufio.NewReader(conn)}
}

// write sends text as it is.
func (d dialed) write(text string) {
	GinkgoHelper()
	load := spec.StartLoad()
	_, err := io.WriteString(d, text)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred())
}

// read reads the response to a method, with its body.
func (d dialed) read(method string) (*http.Response, []byte) {
	GinkgoHelper()
	load := spec.StartLoad()
	response, err := http.ReadResponse(d.in, &http.Request{Method: method})
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred())
	body, err := io.ReadAll(response.Body)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred())
	return response, body
}

var _ = suite.It("answers requests that are sent without waiting in their order", check.Check{
	ID: "HTTP-022", Grade: check.GradeFail,
	Source: "RFC 9112 9.3.2",
	Asks:   "Writes 20 requests at once to one connection, each for another range of a file: 20 responses must come, in that order, each with its own bytes.",
	Why:    "Whoever takes a request for another's, as after a wrong length, hands one user's response to the next. Here it is seen.",
	Causes: and(causes, "a proxy in between reads one request of each segment, or answers out of order"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server := serve(bounded, webserver.Config{})
	conn := connect(bounded, server)
	const requests, length = 20, 500
	var text strings.Builder
	for i := range requests {
		fmt.Fprintf(&text, "GET /file HTTP/1.1\r\nHost: %s\r\nRange: bytes=%d-%d\r\n\r\n", server.Addr(), i*length, (i+1)*length-1)
	}
	conn.write(text.String())
	whole := webserver.Pattern(webserver.FileBytes)
	for i := range requests {
		response, body := conn.read(http.MethodGet)
		what := fmt.Sprintf("response %d of %d", i+1, requests)
		Expect(status(response.StatusCode)).To(Equal(status(http.StatusPartialContent)), "%s", what)
		expectBytes(body, whole[i*length:(i+1)*length], what)
	}
})
