package http

import (
	"strings"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
)

// cookiesOf are the cookies of the requests to a URL, in their order.
func (s seenInBrowser) cookiesOf(url string) (all []string) {
	for _, h := range s.Hits {
		if h.URL == url {
			all = append(all, h.Cookie)
		}
	}
	return all
}

var _ = enforces("sends cookies to another port only when told, and shows the answer only to an origin that is named", 0, check.Check{
	ID: "HTTP-049", Grade: check.GradeFail,
	Source: "Fetch Standard, CORS protocol and credentials (https://fetch.spec.whatwg.org/#cors-protocol-and-credentials)",
	Asks:   "In a sandbox, a headless Chromium has a cookie of localhost. A page of http://localhost:3000 asks http://localhost:8080: without credentials, which must send no cookie; with them, of a server that names the origin and allows credentials, which the page must read; and with them, of servers that answer with *, with * and Access-Control-Allow-Credentials, and with the origin but no such header, none of which it may read.",
	Why:    "With its cookies a page acts as the person who is logged in. Where an answer that is open to every origin can be read with them, each page of the Internet reads what that person may; where they are never sent, no login works across ports.",
}, []visit{{site: apiSite, path: "cookies?set=session%3D1", script: `return {"the cookie": String(document.cookie.includes("session=1"))};`}, {site: pageOrigin, script: `const ask1 = (path, credentials) => ask(at("http://localhost:8080", path), {credentials});
return {
	"without credentials": await ask1("page", "omit"),
	"with credentials, where they are allowed": await ask1("trusted", "include"),
	"with credentials, of *": await ask1("any", "include"),
	"with credentials, of * that allows them": await ask1("any-with-credentials", "include"),
	"with credentials, of this origin without leave": await ask1("page", "include"),
};`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{
		"the cookie":          "true",
		"without credentials": read, "with credentials, where they are allowed": read,
		"with credentials, of *": refused, "with credentials, of * that allows them": refused,
		"with credentials, of this origin without leave": refused,
	})
	Expect(sent(seen.cookiesOf(apiSite+"/trusted"), "session")).To(Equal([]string{"session"}), "the cookies of the request with credentials")
	asked := seen.cookiesOf(apiSite + "/page")
	Expect(asked).To(HaveLen(2), "requests to the server that names the origin alone")
	Expect(asked[0]).To(BeEmpty(), "the cookies of the request without credentials")
})

var _ = enforces("shares cookies among the ports of a host, and not among hosts of this machine", 0, check.Check{
	ID: "HTTP-050", Grade: check.GradeFail,
	Source: "RFC 6265 8.5 (weak confidentiality) and 5.1.3 (domain matching)",
	Asks:   "In a sandbox, a headless Chromium gets a cookie from http://localhost:8080. Pages of http://localhost:3000 must see it, and pages of the same port by 127.0.0.1, [::1] and app.localhost must not.",
	Why:    "All that runs on localhost shares its cookies: two projects with a cookie of the same name log each other out, and each server sees the sessions of the others. A host of its own (app.localhost) keeps a project apart.",
}, []visit{
	{site: apiSite, path: "cookies?set=shared%3D1%3BPath=/", script: `return {"the port that set it": String(document.cookie.includes("shared=1"))};`},
	{site: pageOrigin, script: `return {"another port": String(document.cookie.includes("shared=1"))};`},
	{site: "http://127.0.0.1:" + pagePort, script: `return {"127.0.0.1": String(document.cookie.includes("shared=1"))};`},
	{site: "http://[::1]:" + pagePort, script: `return {"[::1]": String(document.cookie.includes("shared=1"))};`},
	{site: "http://app.localhost:" + pagePort, script: `return {"app.localhost": String(document.cookie.includes("shared=1"))};`},
}, answer(map[string]string{"the port that set it": "true", "another port": "true", "127.0.0.1": "false", "[::1]": "false", "app.localhost": "false"}))

var _ = enforces("keeps SameSite cookies from requests of another site, which a port is not and 127.0.0.1 is", 0, check.Check{
	ID: "HTTP-051", Grade: check.GradeFail,
	Source: "RFC 6265bis 5.2 and 8.8 (draft-ietf-httpbis-rfc6265bis); HTML Standard, same site",
	Asks:   "In a sandbox, a headless Chromium gets four cookies from http://localhost:8080: SameSite=Strict, SameSite=Lax, SameSite=None with Secure, and SameSite=None without it, which it must refuse. A page of http://localhost:3000 asks for that with credentials and must send the other three. A page of http://127.0.0.1:3000 does the same and must send neither the strict nor the lax one.",
	Why:    "SameSite is what keeps a session from requests that pages of other sites start. localhost and 127.0.0.1 are two sites: an API on one gets no session from a front end on the other, and a Secure cookie works on http://localhost alone.",
}, []visit{
	{site: apiSite, path: "cookies?set=strict%3D1%3BSameSite=Strict&set=lax%3D1%3BSameSite=Lax&set=none%3D1%3BSameSite=None%3BSecure&set=plain%3D1%3BSameSite=None", script: `return {
	"SameSite=None without Secure is kept": String(document.cookie.includes("plain=1")),
};`},
	{site: pageOrigin, script: `return {"from another port": await ask(at("http://localhost:8080", "trusted"), {credentials: "include"})};`},
	{site: "http://127.0.0.1:" + pagePort, script: `return {"from 127.0.0.1": await ask(at("http://localhost:8080", "other"), {credentials: "include"})};`},
}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"SameSite=None without Secure is kept": "false", "from another port": read})
	Expect(sent(seen.cookiesOf(apiSite+"/trusted"), "strict", "lax", "none")).To(Equal([]string{"strict", "lax", "none"}), "the cookies from another port")
	Expect(seen.methods(apiSite+"/other")).To(Equal([]string{"GET"}), "what the server got from 127.0.0.1")
	Expect(sent(seen.cookiesOf(apiSite+"/other"), "strict", "lax")).To(BeEmpty(), "the cookies from 127.0.0.1")
})

// sent are those of some names that were among cookies.
func sent(cookies []string, names ...string) (found []string) {
	for _, name := range names {
		if strings.Contains(strings.Join(cookies, "; "), name+"=1") {
			found = append(found, name)
		}
	}
	return found
}
