package http

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// shortLimit is what is waited for in vain, by a server or a client. A machine that
// is busy makes it longer, which no check minds.
const shortLimit = 30 * time.Millisecond

// holders are who keeps the end of a connection to itself.
var holders = "a proxy in between holds connections open on one side when the other has ended"

var _ = suite.It("ends connections whose header does not come, and serves others meanwhile", check.Check{
	ID: "HTTP-023", Grade: check.GradeFail,
	Source: "RFC 9112 9.5; RFC 9110 15.5.9 (408)",
	Asks:   "Opens 50 connections to a server that gives a header 30 ms, and sends the beginning of one over each. A whole request beside them must be answered, and then each of the 50 must be ended by the server, with or without a 408.",
	Why:    "A few hundred clients that send a byte a minute (slowloris) hold a server without such a limit, and one whose FIN does not come through.",
	Causes: and(causes, holders, "a firewall drops FIN on lo"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server := serve(bounded, webserver.Config{HeaderTimeout: shortLimit})
	var slow []dialed
	for range 50 {
		conn := connect(bounded, server)
		conn.write("GET / HTTP/1.1\r\nHost: loc")
		slow = append(slow, conn)
	}
	load := spec.StartLoad()
	expectPage(getWhole(bounded, server))
	for i, conn := range slow {
		said, err := io.ReadAll(conn.in)
		if errors.Is(err, syscall.ECONNRESET) {
			continue // its bytes came after the server's patience was over
		}
		load.ExcuseTimeout(err)
		Expect(err).NotTo(HaveOccurred(), "the end of slow connection %d of %d", i+1, len(slow))
		if len(said) > 0 {
			Expect(string(said)).To(HavePrefix("HTTP/1.1 408 "), "what the server said to a slow connection")
		}
	}
})

// getWhole asks for the page, again where the server found even that too slow: on a
// machine whose processors are busy a header may take longer than a short limit.
func getWhole(ctx context.Context, server *webserver.Server) *web.Response {
	GinkgoHelper()
	client := newClient(web.Options{})
	load := spec.StartLoad()
	for {
		response, err := client.Get(ctx, server.URL("/"))
		if err == nil {
			return response
		}
		if failed, is := errors.AsType[*web.Error](err); !is || failed.Step != web.Header || ctx.Err() != nil {
			excuse(load, err)
			Expect(err).NotTo(HaveOccurred(), "GET beside slow connections")
		}
	}
}

var _ = suite.It("answers 408 to a body that stops half-way", check.Check{
	ID: "HTTP-024", Grade: check.GradeFail,
	Source: "RFC 9110 15.5.9; RFC 9112 9.5",
	Asks:   "Announces a body of 1,000 bytes to a server that gives it 30 ms, sends 10 and no more: 408 must come, and the end of the connection after it.",
	Why:    "An upload over a connection that has died in the middle holds a worker of the server until somebody gives up. The 408 lets a client know that it may try again.",
	Causes: and(causes, holders, collectors), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server := serve(bounded, webserver.Config{BodyTimeout: shortLimit})
	conn := connect(bounded, server)
	conn.write(fmt.Sprintf("POST /sum HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n0123456789", server.Addr()))
	response, _ := conn.read(http.MethodPost)
	Expect(status(response.StatusCode)).To(Equal(status(http.StatusRequestTimeout)), "POST of a body that stops")
	load := spec.StartLoad()
	_, err := conn.in.ReadByte()
	load.ExcuseTimeout(err)
	Expect(err).To(MatchError(io.EOF), "what comes after the 408")
})

var _ = suite.It("gives up at its deadline on a server that accepts and never answers", check.Check{
	ID: "HTTP-025", Grade: check.GradeFail,
	Source: "RFC 9293 3.10.7.4 (data is acknowledged though nobody reads it); connect(2), accept(2)",
	Asks:   "Connects to a server that accepts and says nothing, sends a request and waits for 30 ms. The client must have been connected, have waited for the header of the response until then and say so; and the server must see the connection end.",
	Why:    "It is what a process that hangs looks like from outside: the port is open and TCP acknowledges. Only the client's own deadline helps, and only if the end reaches the server are its connections freed.",
	Causes: and(causes, "a proxy or firewall in between answers or refuses in the place of a server that does not", "a firewall drops FIN and RST on lo"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{Silent: true}), newClient(web.Options{})
	load := spec.StartLoad()
	var failed *web.Error
	// A machine that is busy may need longer than the limit to connect.
	for limit := shortLimit; ; limit *= 2 {
		short, cancel := context.WithTimeout(bounded, limit)
		response, err := client.Get(short, server.URL("/"))
		cancel()
		Expect(err).To(HaveOccurred(), "a server that never answers: %s", told(response))
		Expect(errors.As(err, &failed)).To(BeTrueBecause("it is another error: %v", err))
		if failed.Step == web.Header || !errors.Is(err, context.DeadlineExceeded) || bounded.Err() != nil {
			break
		}
	}
	if failed.Step != web.Header {
		excuse(load, failed)
	}
	Expect(failed.Step).To(Equal(web.Header), "what the client waited for: %v", failed)
	Expect(failed).To(MatchError(context.DeadlineExceeded))
	err := server.AwaitClosed(bounded)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "the end of the connection, at the server")
	spec.Evidence("what the client says", "%v", failed.Err)
})

var _ = suite.It("tells the server that a client has given up", check.Check{
	ID: "HTTP-026", Grade: check.GradeFail,
	Source: "RFC 9112 9.5, 9.6; RFC 9293 3.6",
	Asks:   "Asks for what takes for ever and gives up once the request is with the server: the server must learn of it while it is at work.",
	Why:    "A query whose user has left goes on until its end where the server does not hear of it, and a hundred reloads of a slow page become a hundred queries.",
	Causes: and(causes, holders, "a firewall drops FIN and RST on lo"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	asking, giveUp := context.WithCancel(bounded)
	defer giveUp()
	answered, ended := context.WithCancelCause(bounded)
	load := spec.StartLoad()
	go func() {
		response, err := client.Get(asking, server.URL("/silent"))
		ended(cmp.Or(err, fmt.Errorf("the response that is never to come: %s", told(response))))
	}()
	err := server.AwaitWaiting(answered)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "the request, at the server")
	giveUp()
	<-answered.Done()
	Expect(context.Cause(answered)).To(MatchError(context.Canceled), "what the client says that gave up")
	err = server.AwaitAbandoned(bounded)
	load.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "the end of the request, at the server")
})

var _ = suite.It("answers 400 to requests that two servers could read in two ways", check.Check{
	ID: "HTTP-027", Grade: check.GradeFail,
	Source: "RFC 9112 3.2 (Host), 5.1 (no space before the colon), 6.3 (lengths that differ)",
	Asks:   "Sends, each over a connection of its own, a request without Host, with two of them, with two lengths that differ, and with a space before a colon: each must get 400.",
	Why:    "Where a proxy and a server read such a request differently, one user's request becomes the beginning of another's (request smuggling).",
	Causes: and(causes, "a proxy in between repairs such requests and hands them on"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server := serve(bounded, webserver.Config{})
	for what, fields := range map[string]string{
		"without Host":                "",
		"with two Hosts":              "Host: a\r\nHost: b\r\n",
		"with two lengths":            "Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n",
		"with a space before a colon": "Host: a\r\nContent-Length : 5\r\n",
	} {
		conn := connect(bounded, server)
		conn.write("POST /sum HTTP/1.1\r\n" + fields + "\r\nhello")
		response, _ := conn.read(http.MethodPost)
		Expect(status(response.StatusCode)).To(Equal(status(http.StatusBadRequest)), "a request %s", what)
	}
})
