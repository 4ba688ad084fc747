package http

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/bench"
	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/counters"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	// many is how many connections a load has that has more than one.
	many = 64
	// coldRequests is how many requests a cold load has, each with a handshake of TLS:
	// as many as tell a 99th percentile, and take a tenth of a second or two.
	coldRequests     = 128
	coldRequestsMany = 512
	warmRequests     = 1000
	// allRequests is of a load in which none may be lost.
	allRequests  = 10_000
	quicRequests = 1000
	// loadTimeout is for a machine whose processors are busy elsewhere: a load takes
	// half a second.
	loadTimeout = 20 * time.Second
	// requestTimeout bounds one request of a load, which takes milliseconds beside 63
	// others. It is above what TCP waits for before it sends again (200 ms at first).
	requestTimeout = 3 * time.Second
	// enoughFailures end a load: where one fails by its timeout, all may.
	enoughFailures = 1
)

// Causes and remedies of what loses requests under load.
var (
	loadCauses = and(causes,
		"a limit on connections or their rate: nft `ct count`, `limit`, iptables connlimit, hashlimit, a full table of conntrack",
		"an accept queue that is too short for 64 clients at once (net.core.somaxconn), or a limit of open files")
	loadRemedies = and(remedies,
		"look for full queues and tables while it runs: `nstat -az TcpExtListenOverflows TcpExtListenDrops`, `sysctl net.netfilter.nf_conntrack_count net.netfilter.nf_conntrack_max`",
		"see what is queued on lo with `tc -s qdisc show dev lo`",
		"raise the limits: `sysctl -w net.core.somaxconn=4096`, `ulimit -n 4096`")
)

var _ = suite.It("loads a page from a cold start, one connection at a time, and reports where the time goes", check.Check{
	ID: "HTTP-060", Grade: check.GradeFail, Benchmark: true, Timeout: loadTimeout,
	Source: "RFC 9110 9.3.1; RFC 9293 3.1 (all data is delivered)",
	Asks:   "Asks https://localhost for a page 128 times, each over a new connection: the name is looked up in the hosts file, then come TCP's handshake, a whole one of TLS 1.3, and the page. All must come. The report has the percentiles of each step and of the whole.",
	Why:    "It is what a command such as curl waits for. Which step takes long says who is to blame: the resolver, the stack, the cryptography or the server.",
	Causes: loadCauses, Remedies: loadRemedies,
}, func(ctx SpecContext) {
	measureLoad(ctx, coldRequests, 1, true)
})

var _ = suite.It("loads a page over a warm connection and reports its time", check.Check{
	ID: "HTTP-061", Grade: check.GradeFail, Benchmark: true, Timeout: loadTimeout,
	Source: "RFC 9112 9.3; RFC 9293 3.1 (all data is delivered)",
	Asks:   "Asks https://localhost for a page 1,000 times over one connection. All must come. The report has the percentiles of the first byte and of the whole, without the first request.",
	Why:    "It is what each further call of an API costs, and the difference from a cold start is what keeping a connection saves.",
	Causes: loadCauses, Remedies: loadRemedies,
}, func(ctx SpecContext) {
	measureLoad(ctx, warmRequests, 1, false)
})

var _ = suite.It("loads pages from cold starts, 64 at a time, and reports where the time goes", check.Check{
	ID: "HTTP-062", Grade: check.GradeFail, Benchmark: true, Timeout: loadTimeout,
	Source: "RFC 9110 9.3.1; RFC 9293 3.1 (all data is delivered); listen(2) (the backlog)",
	Asks:   "Asks https://localhost for a page 512 times, each over a new connection, with 64 under way at a time. All must come. The report has the percentiles of each step and of the whole.",
	Why:    "It is a service that starts and is met by all of its clients. What does not fit into the accept queue is sent again after a second, which shows in the percentiles of connecting alone.",
	Causes: loadCauses, Remedies: loadRemedies,
}, func(ctx SpecContext) {
	measureLoad(ctx, coldRequestsMany, many, true)
})

// measureLoad loads a server of https by localhost, and reports every step.
func measureLoad(ctx context.Context, requests, connections int, cold bool) {
	GinkgoHelper()
	secure, trust := trusted()
	// A full handshake each: a session that is resumed takes half of one.
	secure.SessionTicketsDisabled = true
	server := serve(ctx, webserver.Config{TLS: secure})
	host := hostInHosts(ctx)
	busy := spec.StartLoad()
	load := runLoad(ctx, web.Plan{
		URL: server.URLAt(host, "/"), Requests: requests, Connections: connections,
		Options: web.Options{Version: web.HTTP1, TLS: trust, Fresh: cold},
	})
	if !cold {
		expectKept(busy, load.Connections, connections, "connections over which requests were answered")
	}
	Expect(load.Total.Count).To(BeNumerically(">", 0), "requests that the figures are of")
}

// hostInHosts is localhost where the hosts file gives it 127.0.0.1, whose look-up is
// then measured, and otherwise that address.
func hostInHosts(ctx context.Context) string {
	addrs, err := web.Resolve(ctx, "localhost")
	loopback := sock.IPv4.Loopback(0).Addr()
	if err == nil {
		for _, addr := range addrs {
			if addr == loopback {
				return "localhost"
			}
		}
	}
	spec.Evidence("localhost", "it is not looked up: the hosts file gives it %v", addrs)
	return loopback.String()
}

// runLoad runs a load of which no request may fail, and reports its figures.
func runLoad(ctx context.Context, plan web.Plan) *web.Load {
	GinkgoHelper()
	plan.Timeout, plan.Wrong, plan.MaxFailed = requestTimeout, wrongPage, enoughFailures
	if damaged.client != nil && plan.Options.TLS != nil {
		damaged.client(plan.Options.TLS)
	}
	before := spec.StartLoad()
	load, err := plan.Run(ctx)
	before.ExcuseTimeout(err)
	Expect(err).NotTo(HaveOccurred(), "a load of %d requests over %d connections", plan.Requests, plan.Connections)
	for _, err := range load.Errors {
		if plan.Options.Version == web.HTTP3 {
			before.ExcuseTimeout(err) // its handshake is the server's
		}
		excuse(before, err)
	}
	Expect(load.Failed).To(BeZero(), "requests of %d that failed: %v", plan.Requests, joined(load.Errors))
	Expect(load.Answered).To(Equal(plan.Requests), "requests that were answered")
	for _, step := range []struct {
		name string
		took web.Percentiles
	}{
		{"dns", load.DNS}, {"connect", load.Connect}, {"tls", load.TLS}, {"first_byte", load.FirstByte}, {"total", load.Total},
	} {
		if step.took.Count == 0 {
			continue
		}
		spec.Measure(step.name+"_p50_ns", float64(step.took.P50))
		spec.Measure(step.name+"_p90_ns", float64(step.took.P90))
		spec.Measure(step.name+"_p99_ns", float64(step.took.P99))
	}
	spec.Measure("rate_per_s", load.RatePerS())
	spec.Evidence("load", "%d requests over %d connections in %v", load.Answered, load.Connections, load.Took.Round(time.Millisecond))
	return load
}

// wrongPage says what is wrong with a response to a GET of the page.
func wrongPage(r *web.Response) error {
	if r.Status != http.StatusOK {
		return fmt.Errorf("the status is %s", status(r.Status))
	}
	if string(r.Body) != webserver.Page {
		return fmt.Errorf("the body of %d bytes is not the page: %.100q", len(r.Body), r.Body)
	}
	return nil
}

// joined are errors on one line.
func joined(errs []error) string {
	texts := make([]string, len(errs))
	for i, err := range errs {
		texts[i] = err.Error()
	}
	return strings.Join(texts, "; ")
}

var _ = suite.It("loses none of 10,000 requests over 64 connections", check.Check{
	ID: "HTTP-063", Grade: check.GradeFail, Benchmark: true, Timeout: loadTimeout,
	Source: "RFC 9112 9.3; RFC 9293 3.1 (all data is delivered)",
	Asks:   "Makes 10,000 requests over 64 connections of HTTP/1.1 at once to a server on 127.0.0.1. Each must get its page. The report has the percentiles and the rate.",
	Why:    "It is a load test that any developer makes first. A request that is lost in ten thousand is one user in an hour.",
	Causes: loadCauses, Remedies: loadRemedies,
}, func(ctx SpecContext) {
	server := serve(ctx, webserver.Config{})
	runLoad(ctx, web.Plan{URL: server.URL("/"), Requests: allRequests, Connections: many, Options: web.Options{Version: web.HTTP1}})
})

var _ = suite.It("loses none of 1,000 requests over HTTP/3, 64 at a time", check.Check{
	ID: "HTTP-064", Grade: check.GradeFail, Benchmark: true, Timeout: loadTimeout,
	Source: "RFC 9114 4.1; RFC 9002 (loss is repaired); udp(7)",
	Asks:   "Makes 1,000 requests of HTTP/3 to a server on 127.0.0.1 over one connection, with 64 under way at a time. Each must get its page. The report has the percentiles, and how many datagrams were lost for want of room in a socket's buffer.",
	Why:    "QUIC repairs what UDP loses, at the cost of a round trip and more. Buffers that are too small for a burst make it slower than TCP on the same path.",
	Causes: and(loadCauses, "the buffers of UDP sockets are too small for a burst (net.core.rmem_max)"),
	Remedies: and(loadRemedies,
		"give UDP sockets room: `sysctl -w net.core.rmem_max=7500000 net.core.wmem_max=7500000`"),
}, func(ctx SpecContext) {
	secure, trust := trusted()
	server := serve(ctx, webserver.Config{TLS: secure, HTTP3: true})
	before, err := counters.Read()
	load := runLoad(ctx, web.Plan{URL: server.URL("/"), Requests: quicRequests, Connections: many, Options: web.Options{Version: web.HTTP3, TLS: trust}})
	if err == nil { // elsewhere than on Linux nothing counts them
		after, err := counters.Read()
		Expect(err).NotTo(HaveOccurred())
		spec.Measure("datagrams_lost", float64(after.Sub(before)["Udp"]["RcvbufErrors"]))
	}
	Expect(load.Connections).To(Equal(1), "connections of QUIC")
})

// needServer is for a user who has used up what a second process takes.
var needServer = check.Need{
	Name: "a process for the server",
	How:  "raise the limits of processes and open files with `ulimit -u 4096` and `ulimit -n 4096`",
}

var _ = suite.It("answers every HTTP round trip between two processes and reports its percentiles", check.Check{
	ID: "HTTP-065", Grade: check.GradeFail, Benchmark: true, Timeout: loadTimeout,
	Source: "RFC 9112 9.3; RFC 9293 3.1 (all data is delivered)",
	Asks:   "Posts 64 bytes over a connection that stays to a server that is a process of its own, and waits for them to come back before the next go, for 10 ms over each of 8 fresh connections. Every response must be 200 and equal its request, and there must be at least 20.",
	Why:    "It is a call of one service to another on the same machine. Beside LAT-001, which is the same without HTTP, it says what HTTP itself costs.",
	Causes: causes, Remedies: remedies,
}, func(ctx SpecContext) {
	spec.Flow("tcp", sock.IPv4.Loopback(0))
	before := spec.StartLoad()
	results, err := bench.Measure(ctx, []bench.Spec{{Transport: bench.HTTP, Engine: bench.NetConn}},
		bench.Plan{Restarts: 8, Window: 10 * time.Millisecond})
	Expect(err).NotTo(HaveOccurred(), "round trips of HTTP")
	result := results[0]
	if result.Skipped != "" {
		spec.Skip(needServer, result.Skipped)
	}
	spec.Benchmark(result)
	for _, p := range []struct{ key, name string }{{"p50_ns", "rtt_p50_ns"}, {"p99_ns", "rtt_p99_ns"}} {
		if figure, given := result.Percentiles[p.key]; given {
			spec.Measure(p.name, figure)
		}
	}
	spec.Measure("rate_per_s", result.RatePerS)
	fewest := bench.SamplesFor("p50_ns")
	if how, starved := before.Starved(); result.Count < fewest && starved {
		spec.Inconclusive("only %d round trips were made, while %s", result.Count, how)
	}
	Expect(result.Count).To(BeNumerically(">=", fewest), "%s: round trips in %d restarts", result.Name, len(result.Restarts))
})
