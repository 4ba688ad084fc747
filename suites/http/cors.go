package http

import (
	"context"
	"net/http"
	"net/netip"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// askDeadline bounds one request of a check. It takes less than a millisecond.
const askDeadline = 5 * time.Second

// What the checks of headers name as a cause and as its remedy.
var (
	headerCauses   = []string{"a program between client and server (a proxy that is preloaded, a user-space stack, a rule that redirects ports of lo) changes headers", "a firewall drops or rejects what goes over lo"}
	headerRemedies = []string{"look for rules that redirect: `nft list ruleset | grep -E 'redirect|dnat|tproxy'`", spec.LetLoopbackPass}
)

// asking is a server of this machine with policies, and a client beside it.
type asking struct {
	ctx     context.Context
	client  *web.Client
	address string
	byIPv6  string // empty where there is no ::1
}

// startAsking serves on free ports of the machine's own loopback for the spec.
func startAsking(ctx SpecContext) *asking {
	GinkgoHelper()
	s := newSites()
	DeferCleanup(s.close)
	address, err := s.listen(ctx, "127.0.0.1:0", nil)
	Expect(err).NotTo(HaveOccurred())
	a := &asking{ctx: ctx, address: address}
	if spec.LacksIPv6() == "" {
		a.byIPv6, err = s.listen(ctx, "[::1]:0", nil)
		Expect(err).NotTo(HaveOccurred())
	}
	a.client, err = web.New(web.Options{Version: web.HTTP1})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(a.client.Close)
	spec.Flow("tcp", netip.AddrPortFrom(netip.MustParseAddrPort(address).Addr(), 0))
	return a
}

// ask returns the answer to a request for a path over IPv4, or over IPv6, with
// headers in pairs of name and value; Host is the one to send.
func (a *asking) ask(address, method, path string, headers ...string) *web.Response {
	GinkgoHelper()
	ctx := spec.Within(a.ctx, askDeadline)
	r, err := http.NewRequestWithContext(ctx, method, "http://"+address+"/check/"+path, nil)
	Expect(err).NotTo(HaveOccurred())
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	return send(ctx, a.client, r)
}

var _ = suite.It("carries the leave to read an answer to the origin that it is for, and to no other", check.Check{
	ID: "HTTP-040", Grade: check.GradeFail,
	Source: "Fetch Standard, HTTP-CORS protocol (https://fetch.spec.whatwg.org/#http-cors-protocol); RFC 9110 12.5.5 (Vary)",
	Asks:   "A server on a free port of 127.0.0.1 allows the origin http://localhost:3000, and another path of it every origin. Go's client asks both as a page of that origin, of http://127.0.0.1:3000 and of none. Access-Control-Allow-Origin must come back as that origin for the first alone, and as * for everybody; what depends on the origin must say so (Vary: Origin), without an Origin too.",
	Why:    "This is what browsers go by. A server that answers every origin with itself shows everything to everyone; without Vary a cache in between gives one page's leave to another, and pages fail at random.",
	Causes: headerCauses, Remedies: headerRemedies,
}, func(ctx SpecContext) {
	a := startAsking(ctx)
	for _, c := range []struct{ path, origin, allowed, vary string }{
		{"page", pageOrigin, pageOrigin, "Origin"},
		{"page", "http://127.0.0.1:3000", "", "Origin"},
		{"page", "", "", "Origin"},
		{"any", pageOrigin, "*", ""},
		{"any", "null", "*", ""},
	} {
		var origin []string
		if c.origin != "" {
			origin = []string{"Origin", c.origin}
		}
		response := a.ask(a.address, http.MethodGet, c.path, origin...)
		Expect(response.Status).To(Equal(http.StatusOK), "status of /%s for the origin %q", c.path, c.origin)
		Expect(response.Header.Get("Access-Control-Allow-Origin")).To(Equal(c.allowed), "Access-Control-Allow-Origin of /%s for the origin %q", c.path, c.origin)
		Expect(response.Header.Get("Vary")).To(Equal(c.vary), "Vary of /%s for the origin %q", c.path, c.origin)
	}
})

var _ = suite.It("answers a preflight with what may be sent, and one for more with a refusal", check.Check{
	ID: "HTTP-041", Grade: check.GradeFail,
	Source: "Fetch Standard, CORS-preflight request (https://fetch.spec.whatwg.org/#http-requests)",
	Asks:   "A server on a free port of 127.0.0.1 allows the origin http://localhost:3000 a PUT and the header X-Token. Go's client sends OPTIONS as a browser does before it: the answer must be 204 without a body, with the methods, the header and how long it may be kept. One for PATCH, for another header and of another origin must be 403 and allow nothing.",
	Why:    "Each call of an API that is more than a form waits for this answer. A server that leaves OPTIONS to its router answers 404 or 405, or asks for the log-in first, which is the usual CORS error in development.",
	Causes: headerCauses, Remedies: headerRemedies,
}, func(ctx SpecContext) {
	a := startAsking(ctx)
	preflight := func(origin, method, header string) *web.Response {
		return a.ask(a.address, http.MethodOptions, "trusted", "Origin", origin, "Access-Control-Request-Method", method, "Access-Control-Request-Headers", header)
	}
	allowed := preflight(pageOrigin, http.MethodPut, "x-token")
	Expect(allowed.Status).To(Equal(http.StatusNoContent), "status of the preflight for PUT")
	Expect(allowed.Body).To(BeEmpty(), "its body")
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": pageOrigin, "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT",
		"Access-Control-Allow-Headers": "x-token", "Access-Control-Max-Age": "600", "Access-Control-Allow-Credentials": "true",
	} {
		Expect(allowed.Header.Get(name)).To(Equal(want), name)
	}
	for what, response := range map[string]*web.Response{
		"PATCH":          preflight(pageOrigin, http.MethodPatch, "x-token"),
		"another header": preflight(pageOrigin, http.MethodPut, "x-token, x-other"),
		"another origin": preflight("http://127.0.0.1:3000", http.MethodPut, "x-token"),
	} {
		Expect(response.Status).To(Equal(http.StatusForbidden), "status of the preflight for "+what)
		Expect(response.Header).NotTo(HaveKey("Access-Control-Allow-Origin"), "headers of the preflight for "+what)
	}
})

var _ = suite.It("allows credentials to an origin that is named, and never to all", check.Check{
	ID: "HTTP-042", Grade: check.GradeFail,
	Source: "Fetch Standard, CORS protocol and credentials (https://fetch.spec.whatwg.org/#cors-protocol-and-credentials)",
	Asks:   "Go's client asks a server on a free port of 127.0.0.1 with a cookie: one path allows credentials to http://localhost:3000, another everything to every origin. Access-Control-Allow-Credentials must be true on the first for that origin alone, and be missing on the second, which says *.",
	Why:    "With credentials an answer is what the person who is logged in may see. Servers that want to give it to all reflect the Origin they are sent, since browsers refuse * here: then every page of the Internet reads it.",
	Causes: headerCauses, Remedies: headerRemedies,
}, func(ctx SpecContext) {
	a := startAsking(ctx)
	for _, c := range []struct{ path, origin, credentials string }{
		{"trusted", pageOrigin, "true"},
		{"trusted", "http://127.0.0.1:3000", ""},
		{"any", pageOrigin, ""},
	} {
		response := a.ask(a.address, http.MethodGet, c.path, "Origin", c.origin, "Cookie", "session=1")
		Expect(response.Header.Get("Access-Control-Allow-Credentials")).To(Equal(c.credentials), "Access-Control-Allow-Credentials of /%s for the origin %q", c.path, c.origin)
		if c.credentials != "" {
			Expect(response.Header.Get("Access-Control-Allow-Origin")).To(Equal(c.origin), "Access-Control-Allow-Origin beside it")
		}
	}
})

var _ = suite.It("keeps the Host that a client names, by which a server refuses names that are not its own", check.Check{
	ID: "HTTP-043", Grade: check.GradeFail,
	Source: "RFC 9110 7.2 (Host), 15.5.20 (421); RFC 9112 3.2; RFC 6761 6.3",
	Asks:   "Go's client asks a server on free ports of 127.0.0.1 and, where there is IPv6, of ::1, which answers to the names and addresses of loopback alone. With the Host localhost, app.localhost, 127.0.0.1 and [::1] it must answer, and with rebind.test, localhost.rebind.test and 192.0.2.1 it must refuse (421).",
	Why:    "An attacker's name that points to 127.0.0.1 (DNS rebinding) makes any server of this machine readable to the attacker's page. The Host header tells such a request; where something on the way sets it anew, no server can.",
	Causes: headerCauses, Remedies: headerRemedies,
}, func(ctx SpecContext) {
	a := startAsking(ctx)
	for _, address := range []string{a.address, a.byIPv6} {
		if address == "" {
			continue
		}
		for host, want := range map[string]int{
			"localhost": http.StatusOK, "app.localhost:3000": http.StatusOK, "127.0.0.1": http.StatusOK, "[::1]:8080": http.StatusOK,
			"rebind.test": http.StatusMisdirectedRequest, "localhost.rebind.test:80": http.StatusMisdirectedRequest, "192.0.2.1": http.StatusMisdirectedRequest,
		} {
			Expect(a.ask(address, http.MethodGet, "guarded", "Host", host).Status).To(Equal(want), "status of %s for the host %q", address, host)
		}
	}
})
