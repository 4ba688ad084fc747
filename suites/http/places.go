package http

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"syscall"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var ownPort = check.Need{
	Name: "TCP port 62893",
	How:  "see who holds it with `ss -tanp sport = :62893`, and run this when it is free",
}

var _ = suite.It("serves a page on port 62893 of 127.0.0.1", check.Check{
	ID: "HTTP-001", Grade: check.GradeFail, Needs: []check.Need{ownPort},
	Source: "RFC 9110 9.3.1; RFC 6335 6 (a dynamic port, assigned to nobody)",
	Asks:   "Starts a web server on port 62893 of 127.0.0.1 and asks it for a page: 200 and the page must come. Where somebody has the port, the check is skipped.",
	Why:    "It is what a developer does with every local server: a fixed port of 127.0.0.1, and a browser.",
	Causes: and(causes, "a firewall lets the usual ports of development pass, and no other"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, err := start(bounded, webserver.Config{At: sock.IPv4.Loopback(webserver.Port)})
	if errors.Is(err, syscall.EADDRINUSE) {
		spec.Skip(ownPort, err.Error())
	}
	Expect(err).NotTo(HaveOccurred())
	expectPage(get(bounded, newClient(web.Options{}), server.URL("/")))
})

var _ = suite.It("serves a page on a free port of ::1", check.Check{
	ID: "HTTP-002", Grade: check.GradeFail, Needs: []check.Need{check.IPv6},
	Source: "RFC 9110 9.3.1; RFC 3986 3.2.2 (an IPv6 address stands in brackets)",
	Asks:   "Starts a web server on a free port of ::1 and asks http://[::1]:PORT/ for a page: 200 and the page must come, and the server must have been asked for that host.",
	Why:    "Where localhost has both addresses, most clients try ::1 first. A server on it that does not answer looks as if it were down.",
	Causes: and(causes, "a firewall was written for IPv4, and drops what IPv6 sends over lo"), Remedies: remedies,
}, func(ctx SpecContext) {
	spec.NeedIPv6()
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{At: onIPv6}), newClient(web.Options{})
	expectPage(get(bounded, client, server.URL("/")))
	Expect(seenBy(get(bounded, client, server.URL("/seen"))).Host).To(Equal(server.Addr().String()), "the host that the server was asked for")
})

var _ = suite.It("reaches a server on any address of localhost by that name", check.Check{
	ID: "HTTP-003", Grade: check.GradeFail,
	Source: "RFC 6761 6.3; RFC 8305 5 (a client goes on to the next address)",
	Asks:   "Starts a web server on each loopback address that the hosts file gives to localhost (or on 127.0.0.1, where it has none), one at a time and on that address alone, and asks http://localhost:PORT/ for a page. It must come from each, as soon as the other address has refused the connection.",
	Why:    "One program listens on 127.0.0.1, the other on ::1, and the user types localhost. Whether that works depends on which address is first and on being refused, not ignored, at the other.",
	Causes: and(causes, "the hosts file gives localhost an address that is not loopback's", "a firewall drops instead of refusing what goes to the other address of localhost"),
	Remedies: and(remedies,
		"let the hosts file have `127.0.0.1 localhost` and `::1 localhost`"),
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	client := newClient(web.Options{})
	addrs, err := web.Resolve(bounded, "localhost")
	Expect(err).NotTo(HaveOccurred(), "look up localhost in the hosts file")
	spec.Evidence("localhost", "the hosts file gives it %v", addrs)
	for _, addr := range addrs {
		Expect(addr.IsLoopback()).To(BeTrueBecause("the hosts file gives localhost %v, which is not loopback's", addr))
	}
	if spec.LacksIPv6() != "" {
		addrs = slices.DeleteFunc(addrs, netip.Addr.Is6)
	}
	for _, addr := range addrs {
		server := serve(bounded, webserver.Config{At: netip.AddrPortFrom(addr, 0)})
		response := get(bounded, client, server.URLAt("localhost", "/"))
		expectPage(response)
		spec.Evidence(fmt.Sprintf("the server on %s", addr), "the connection took %v", response.Timings.Connect)
	}
})

// expectPage expects the page of the run's server.
func expectPage(r *web.Response) {
	GinkgoHelper()
	expectStatus(r, http.StatusOK, "GET of a page")
	expectBytes(r.Body, []byte(webserver.Page), "the page")
}
