package http

import (
	"fmt"

	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
)

// contextOf opens a page and asks whether it is trusted as one of HTTPS is.
func contextOf(site string) visit {
	return visit{site: site, script: fmt.Sprintf(`return {%q: String(isSecureContext && typeof crypto.subtle === "object" && "serviceWorker" in navigator)};`, site)}
}

var _ = enforces("trusts pages of loopback as it trusts HTTPS, and no other page of HTTP", 0, check.Check{
	ID: "HTTP-052", Grade: check.GradeFail,
	Source: "Secure Contexts 3.1, Is origin potentially trustworthy? (https://www.w3.org/TR/secure-contexts/)",
	Asks:   "In a sandbox, a headless Chromium opens pages of http://localhost:3000, http://127.0.0.1:3000, http://[::1]:3000, http://app.localhost:3000 and, with a certificate, https://localhost:8443: each must be a secure context, with crypto.subtle and service workers. One of http://rebind.test:3000, a name that points to 127.0.0.1, must not be.",
	Why:    "Service workers, WebCrypto, the camera and passkeys work in secure contexts alone. Developers have them on localhost without a certificate; on a name of their own in /etc/hosts they do not, which looks like a fault of the browser.",
}, []visit{
	contextOf(pageOrigin), contextOf("http://127.0.0.1:" + pagePort), contextOf("http://[::1]:" + pagePort), contextOf("http://app.localhost:" + pagePort),
	contextOf("https://localhost:" + tlsPort), contextOf("http://" + foreignName + ":" + pagePort),
}, answer(map[string]string{
	pageOrigin: "true", "http://127.0.0.1:3000": "true", "http://[::1]:3000": "true", "http://app.localhost:3000": "true",
	"https://localhost:8443": "true", "http://rebind.test:3000": "false",
}))

var _ = enforces("lets a page of HTTPS ask loopback over HTTP, and no other host", 0, check.Check{
	ID: "HTTP-053", Grade: check.GradeFail,
	Source: "Mixed Content 4.4 (https://www.w3.org/TR/mixed-content/); Secure Contexts 3.1",
	Asks:   "In a sandbox, a page of https://localhost:8443 in a headless Chromium reads answers for every origin of http://127.0.0.1:8080, http://[::1]:8080, http://localhost:8080 and http://app.localhost:8080, and must not read that of http://rebind.test:8080, a name that points to 127.0.0.1.",
	Why:    "Pages of HTTPS that talk to a program on the same machine (a password manager, a signing tool, a development server) do so over HTTP on loopback, for which nobody can have a certificate. By another name the browser blocks it as mixed content.",
}, []visit{{site: "https://localhost:" + tlsPort, script: `const answers = {};
for (const host of ["127.0.0.1", "[::1]", "localhost", "app.localhost", "rebind.test"]) {
	if (host !== "[::1]" || IPV6) answers[host] = await ask(at("http://" + host + ":8080", "any"));
}
return answers;`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"127.0.0.1": read, "[::1]": read, "localhost": read, "app.localhost": read, "rebind.test": refused})
	Expect(seen.methods("http://rebind.test:8080/any")).To(BeEmpty(), "what arrived for rebind.test")
})

var _ = enforces("lets a public page connect to loopback only with the user's leave", 142, check.Check{
	ID: "HTTP-054", Grade: check.GradeWarn,
	Source: "Local Network Access (https://wicg.github.io/local-network-access/); Chromium 142",
	Asks:   "In a sandbox, a headless Chromium is told to take http://localhost:3001 for a site of the Internet (--ip-address-space-overrides). Its page reads an answer for every origin of http://localhost:8080: nothing of it may arrive before the permission is given, and it must be read after. Chromium before 142 does not ask; its earlier way, a preflight with Access-Control-Request-Private-Network, was given up.",
	Why:    "Any page could otherwise search this machine for servers and attack them. Since Chromium 142 a page of the Internet that talks to a program on this machine needs the person's leave, which looks like a CORS error where it is not given; in 145 the permission for loopback became one of its own.",
	Causes: []string{"the policy LocalNetworkAccessAllowedForUrls or LoopbackNetworkAllowedForUrls gives leave to every page"},
}, []visit{
	{site: "http://localhost:" + publicPort, script: `return {
	"without leave": await ask(at("http://localhost:8080", "any")),
	"without leave, without CORS": await ask(at("http://127.0.0.1:8080", "any"), {mode: "no-cors"}),
};`},
	{site: "http://localhost:" + publicPort, granted: true, script: `return {"with leave": await ask(at("http://localhost:8080", "page")), "with leave, of any": await ask(at("http://localhost:8080", "any"))};`},
}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"without leave": refused, "without leave, without CORS": refused, "with leave": refused, "with leave, of any": read})
	Expect(seen.methods("http://127.0.0.1:8080/any")).To(BeEmpty(), "what arrived without leave")
	Expect(seen.methods(apiSite+"/any")).To(HaveLen(1), "what arrived in all")
})

var _ = enforces("sends the name that it was given, by which a server tells a page that was rebound to it", 0, check.Check{
	ID: "HTTP-055", Grade: check.GradeFail,
	Source: "RFC 9110 7.2 (Host) and 15.5.20 (421); RFC 6761 6.3",
	Asks:   "In a sandbox, a headless Chromium opens a page by the name rebind.test, which points to 127.0.0.1 as the name of an attacker does after DNS rebinding. It reads its own origin: a server that looks at Host must have got that name and must refuse it (421), and the same port without that check must be read, which is what makes it needed.",
	Why:    "To the browser such a page and a server of this machine are one origin: no CORS, no preflight. That the server knows its own names is all that is between the page and it.",
}, []visit{{site: "http://" + foreignName + ":" + apiPort, script: `return {
	"a server that looks at Host": await ask(at("", "guarded")),
	"a server that does not": await ask(at("", "nobody")),
};`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"a server that looks at Host": "read, 421", "a server that does not": read})
	// Chromium asks twice where it is told that the server is another.
	Expect(seen.methods("http://rebind.test:8080/guarded")).To(And(Not(BeEmpty()), HaveEach("GET")), "the requests by that name")
})

var _ = enforces("opens WebSockets to every origin, and names the page for the server to decide", 0, check.Check{
	ID: "HTTP-056", Grade: check.GradeFail,
	Source: "RFC 6455 4.1 and 10.2; WebSockets Standard (https://websockets.spec.whatwg.org/)",
	Asks:   "In a sandbox, a page of http://localhost:3000 in a headless Chromium opens WebSockets to its own port and to http://localhost:8080: of a server that compares Origin with Host, which must open the first and refuse the second, and of one that does not, which must open. Each handshake must carry the page's origin.",
	Why:    "CORS does not hold for WebSockets. A development server or debugger that does not look at Origin can be spoken to by every page that its user opens.",
}, []visit{{site: pageOrigin, script: `const socket = (site, query) => new Promise((done) => {
	const s = new WebSocket(at(site, "socket" + query));
	s.onopen = () => done("opened");
	s.onerror = () => done("refused");
});
return {
	"its own port": await socket("ws://localhost:3000", ""),
	"another port that looks at Origin": await socket("ws://localhost:8080", ""),
	"another port that does not": await socket("ws://localhost:8080", "?open"),
};`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"its own port": "opened", "another port that looks at Origin": refused, "another port that does not": "opened"})
	Expect(seen.origins(pageOrigin)).To(Equal([]string{pageOrigin}), "the Origin of the handshake with its own port")
	Expect(seen.origins(apiSite)).To(Equal([]string{pageOrigin, pageOrigin}), "the Origin of the handshakes with the other port")
})

var _ = enforces("tells a server on loopback whose page asks (Sec-Fetch-Site)", 76, check.Check{
	ID: "HTTP-057", Grade: check.GradeFail,
	Source: "Fetch Metadata Request Headers 2.3 (https://www.w3.org/TR/fetch-metadata/)",
	Asks:   "In a sandbox, a page of http://localhost:3000 in a headless Chromium asks its own port, another port, the host 127.0.0.1 and the host app.localhost. The servers must get Sec-Fetch-Site: same-origin, same-site, cross-site and cross-site.",
	Why:    "It is the simplest defence of a server against requests of strange pages (net/http's CrossOriginProtection, and those of many frameworks): refuse what changes something and is cross-site. It is sent to trusted hosts alone, of which loopback is one.",
}, []visit{{site: pageOrigin, script: `const answers = {};
for (const site of ["http://localhost:3000", "http://localhost:8080", "http://127.0.0.1:8080", "http://app.localhost:8080"]) answers[site] = await ask(at(site, "any"));
return answers;`}}, func(seen seenInBrowser) {
	got := map[string]string{}
	for _, h := range seen.Hits {
		got[h.URL] = h.Site
	}
	Expect(got).To(Equal(map[string]string{
		"http://localhost:3000/any": "same-origin", "http://localhost:8080/any": "same-site",
		"http://127.0.0.1:8080/any": "cross-site", "http://app.localhost:8080/any": "cross-site",
	}), "Sec-Fetch-Site by URL")
})

var _ = enforces("takes a sandboxed frame for nobody's origin, which null stands for", 0, check.Check{
	ID: "HTTP-058", Grade: check.GradeFail,
	Source: "HTML Standard, sandboxed origin browsing context flag; RFC 6454 7.1",
	Asks:   "In a sandbox, a page of http://localhost:3000 in a headless Chromium has a frame with the attribute sandbox. The frame asks http://localhost:8080: it must read what is for every origin, and not what is for the page's origin; each request must have the origin null.",
	Why:    "Every page can make such a frame, so that a server that allows the origin null allows everybody. Files that are opened from the disk have it too, for which reason people allow it.",
}, []visit{{site: pageOrigin, script: `const told = new Promise((done) => { onmessage = (event) => done(event.data); });
const frame = document.createElement("iframe");
frame.sandbox = "allow-scripts";
frame.srcdoc = "<script>(async () => { const answers = {}; for (const path of ['page', 'any']) { try { answers[path] = 'read, ' + (await fetch('" + at("http://localhost:8080", "") + "' + path)).status; } catch { answers[path] = 'refused'; } } parent.postMessage(answers, '*'); })()</" + "script>";
document.body.append(frame);
return await told;`}}, func(seen seenInBrowser) {
	expectAnswers(seen, map[string]string{"page": refused, "any": read})
	Expect(seen.origins(apiSite)).To(Equal([]string{"null", "null"}), "the Origin of the requests")
})
