package http

import (
	"maps"
	"slices"
	"strings"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
)

// What ask says in a page.
const (
	read    = "read, 200"
	refused = "refused"
	// noAnswer is for a request that ran out of time.
	noAnswer = "no answer"
)

// expectAnswers judges what the scripts returned. What is about [::1] is not asked
// where there is none.
func expectAnswers(seen seenInBrowser, want map[string]string) {
	for _, what := range slices.Sorted(maps.Keys(want)) {
		if seen.IPv6 || !strings.Contains(what, "[::1]") {
			Expect(seen.Answers[what]).To(Equal(want[what]), what)
		}
	}
}

// answer is expectAnswers for a check that looks at nothing else.
func answer(want map[string]string) func(seenInBrowser) {
	return func(seen seenInBrowser) { expectAnswers(seen, want) }
}

// methods are those of the requests to a URL, in their order.
func (s seenInBrowser) methods(url string) (all []string) {
	for _, h := range s.Hits {
		if h.URL == url {
			all = append(all, h.Method)
		}
	}
	return all
}

// origins are those of the requests to a site, in their order.
func (s seenInBrowser) origins(site string) (all []string) {
	for _, h := range s.Hits {
		if strings.HasPrefix(h.URL, site+"/") {
			all = append(all, h.Origin)
		}
	}
	return all
}

var _ = enforces("lets a page read another port of its host only where that allows its origin", 0, check.Check{
	ID: "HTTP-044", Grade: check.GradeFail,
	Source: "RFC 6454 4 and 5; Fetch Standard, CORS check (https://fetch.spec.whatwg.org/#concept-cors-check)",
	Asks:   "In a sandbox, a headless Chromium opens a page of http://localhost:3000. Its script reads its own port, and four answers of http://localhost:8080: one without CORS headers, one for every origin (*), one for http://localhost:3000 and one for http://127.0.0.1:3000. It must read its own, that for every origin and that for its own origin, and no other.",
	Why:    "A front end on one port and its API on another are two origins, which is where developers meet CORS first. Where the browser lets everything through, every page of the Internet reads what servers of this machine tell; where it refuses what is allowed, no front end works.",
}, []visit{{site: pageOrigin, script: `return {
	"its own port": await ask(at("", "nobody")),
	"another port that allows nobody": await ask(at("http://localhost:8080", "nobody")),
	"another port that allows any origin": await ask(at("http://localhost:8080", "any")),
	"another port that allows this origin": await ask(at("http://localhost:8080", "page")),
	"another port that allows http://127.0.0.1:3000": await ask(at("http://localhost:8080", "other")),
};`}}, answer(map[string]string{
	"its own port":                                   read,
	"another port that allows nobody":                refused,
	"another port that allows any origin":            read,
	"another port that allows this origin":           read,
	"another port that allows http://127.0.0.1:3000": refused,
}))

var _ = enforces("takes localhost, 127.0.0.1, [::1] and names below localhost for origins of their own, and finds each on this machine", 0, check.Check{
	ID: "HTTP-045", Grade: check.GradeFail,
	Source: "RFC 6454 4; RFC 6761 6.3; Let 'localhost' be localhost (draft-ietf-dnsop-let-localhost-be-localhost)",
	Asks:   "In a sandbox without any name server, a page of http://localhost:3000 in a headless Chromium reads the same port by the hosts 127.0.0.1, [::1] and app.localhost: one answer without CORS headers, which it must not read, and one for every origin, which it must.",
	Why:    "Cookies, storage and permissions belong to an origin: a person who opens 127.0.0.1 in place of localhost is logged out, and a page on one is a stranger to the other. Names below localhost give each project its own origin without an entry in /etc/hosts, as long as they reach this machine.",
}, []visit{{site: pageOrigin, script: `const answers = {};
for (const host of ["127.0.0.1", "[::1]", "app.localhost"]) {
	if (host === "[::1]" && !IPV6) continue;
	answers[host + " that allows nobody"] = await ask(at("http://" + host + ":3000", "nobody"));
	answers[host + " that allows any origin"] = await ask(at("http://" + host + ":3000", "any"));
}
return answers;`}}, answer(map[string]string{
	"127.0.0.1 that allows nobody": refused, "127.0.0.1 that allows any origin": read,
	"[::1] that allows nobody": refused, "[::1] that allows any origin": read,
	"app.localhost that allows nobody": refused, "app.localhost that allows any origin": read,
}))

var _ = enforces("sends a simple request without asking, though the page may not read the answer", 0, check.Check{
	ID: "HTTP-046", Grade: check.GradeFail,
	Source: "Fetch Standard, CORS-safelisted method and request-header",
	Asks:   "In a sandbox, a page of http://localhost:3000 in a headless Chromium posts text to http://localhost:8080, which allows nobody. The script must be refused the answer, and the server must have got exactly one request, the POST, with the page's origin.",
	Why:    "CORS keeps a page from reading, not from sending: a form of any page can post to a server of this machine. Whoever relies on CORS against that (CSRF) is open; a server has to look at Origin or Sec-Fetch-Site.",
}, []visit{{site: pageOrigin, script: `return {
	"POST of text": await ask(at("http://localhost:8080", "nobody"), {method: "POST", body: "text"}),
};`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"POST of text": refused})
	Expect(seen.methods(apiSite+"/nobody")).To(Equal([]string{"POST"}), "what the other port was asked")
	Expect(seen.origins(apiSite)).To(Equal([]string{pageOrigin}), "the Origin of the request")
})

var _ = enforces("asks leave before a request that is not simple, and does not send what is refused", 0, check.Check{
	ID: "HTTP-047", Grade: check.GradeFail,
	Source: "Fetch Standard, CORS-preflight fetch (https://fetch.spec.whatwg.org/#cors-preflight-fetch)",
	Asks:   "In a sandbox, a page of http://localhost:3000 in a headless Chromium sends to two servers' paths at http://localhost:8080 a PUT, a POST of JSON and a GET with the header X-Token. One allows the origin and nothing more: it must see three OPTIONS requests and nothing else. The other allows all of it: it must see each OPTIONS followed by its request. A PATCH and another header, which neither allows, must not arrive.",
	Why:    "Servers that check nothing rely on it that no page of another origin can send them a DELETE or JSON. Where the preflight is left out, each page a person opens can change what a server of this machine holds.",
}, []visit{{site: pageOrigin, script: `const answers = {};
for (const path of ["page", "trusted"]) {
	const url = at("http://localhost:8080", path);
	answers["PUT, " + path] = await ask(url, {method: "PUT", body: "text"});
	answers["POST of JSON, " + path] = await ask(url, {method: "POST", body: "{}", headers: {"Content-Type": "application/json"}});
	answers["GET with X-Token, " + path] = await ask(url, {headers: {"X-Token": "1"}});
}
answers["PATCH, trusted"] = await ask(at("http://localhost:8080", "trusted"), {method: "PATCH", body: "text"});
answers["GET with X-Other, trusted"] = await ask(at("http://localhost:8080", "trusted"), {headers: {"X-Other": "1"}});
return answers;`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{
		"PUT, page": refused, "POST of JSON, page": refused, "GET with X-Token, page": refused,
		"PUT, trusted": read, "POST of JSON, trusted": read, "GET with X-Token, trusted": read,
		"PATCH, trusted": refused, "GET with X-Other, trusted": refused,
	})
	Expect(seen.methods(apiSite+"/page")).To(Equal([]string{"OPTIONS", "OPTIONS", "OPTIONS"}), "what the server got that refuses")
	Expect(seen.methods(apiSite+"/trusted")).To(Equal([]string{"OPTIONS", "PUT", "OPTIONS", "POST", "OPTIONS", "GET", "OPTIONS", "OPTIONS"}), "what the server got that allows")
})

var _ = enforces("keeps the answer to a preflight for as long as it may", 0, check.Check{
	ID: "HTTP-048", Grade: check.GradeFail,
	Source: "Fetch Standard, CORS-preflight cache; Access-Control-Max-Age",
	Asks:   "In a sandbox, a page of http://localhost:3000 in a headless Chromium sends three PUT requests to http://localhost:8080, whose answer to the preflight may be kept for ten minutes. The server must get one OPTIONS and three PUT requests.",
	Why:    "Without the cache every call of an API costs two round trips, which makes a front end half as fast.",
}, []visit{{site: pageOrigin, script: `const answers = {};
for (const nth of ["first", "second", "third"]) {
	answers[nth + " PUT"] = await ask(at("http://localhost:8080", "trusted"), {method: "PUT", body: "text", cache: "default"});
}
return answers;`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"first PUT": read, "second PUT": read, "third PUT": read})
	Expect(seen.methods(apiSite+"/trusted")).To(Equal([]string{"OPTIONS", "PUT", "PUT", "PUT"}), "what the server got")
})

var _ = enforces("checks the origin that a redirect leads to, and names the page in it", 0, check.Check{
	ID: "HTTP-059", Grade: check.GradeFail,
	Source: "Fetch Standard, HTTP-redirect fetch (https://fetch.spec.whatwg.org/#http-redirect-fetch)",
	Asks:   "In a sandbox, a page of http://localhost:3000 in a headless Chromium asks its own port, which redirects to http://localhost:8080: once to an answer without CORS headers, which it must not read, and once to one for its origin, which it must. Both requests must carry the page's origin.",
	Why:    "A server that redirects to another port or host (a login, an asset server, a development proxy) leaves the page's origin. Where the browser forgets that on the way, any open redirect lets pages read what they may not.",
}, []visit{{site: pageOrigin, script: `const to = (path) => at("", "redirect?to=") + encodeURIComponent(at("http://localhost:8080", path));
return {"to what allows nobody": await ask(to("nobody")), "to what allows this origin": await ask(to("page"))};`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"to what allows nobody": refused, "to what allows this origin": read})
	for _, path := range []string{"/nobody", "/page"} {
		Expect(seen.methods(apiSite+path)).To(Equal([]string{"GET"}), "the requests for "+path)
	}
	Expect(seen.origins(apiSite)).To(Equal([]string{pageOrigin, pageOrigin}), "the Origin of the requests to the other port")
})
