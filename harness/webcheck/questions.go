package webcheck

import "github.com/loopcheck/loopcheck/harness/check"

// questions stand in the order in which they are asked. They are put together when the
// program begins, because what answers them names them.
var questions []question

func init() {
	questions = []question{
		{Check: check.Check{
			ID: "WEB-001", Title: "answers a GET with a whole response", Grade: check.GradeFail,
			Source: "RFC 9110 9.3.1; RFC 9112; RFC 9113 3.3",
			Asks:   "Sends one GET and reads all of the response. Redirects that stay on this machine are followed, five at most, with the cookies that each server set. A server that speaks HTTP/2 alone is asked over that, as far as the checks can be. No answer, none that is HTTP, one without an end within the time-out or, where it does not say its length, within 64 MiB, and a status of 500 and above fail.",
			Why:    "Everything else stands on it. A server that takes the connection and says nothing keeps its clients waiting for as long as they can.",
			Causes: []string{"the server has not started, or listens on another port or address", "it waits for a database or another service", "another program has the port"},
			Remedies: []string{
				"see who listens with `loopcheck ports list`, and read the server's log",
				"ask by hand: `curl -v URL`",
			},
		}, ask: answers, alone: true},
		{Check: check.Check{
			ID: "WEB-002", Title: "answers on each address that its name stands for", Grade: check.GradeAdvice,
			Source: "RFC 6761 6.3; RFC 8305",
			Asks:   "Connects to each address of the host in the URL, which for localhost are 127.0.0.1 and ::1.",
			Why:    "Browsers try the other address when one refuses; many programs (Node.js from version 17, Java, health checks) take the first and fail with ECONNREFUSED ::1, though the page opens in a browser.",
			Causes: []string{"the server was told to listen on 127.0.0.1 alone, or on ::1 alone"},
			Remedies: []string{
				"have it listen on 127.0.0.1 and ::1, or give clients the address in the place of the name",
			},
		}, ask: everyAddress},
		{Check: check.Check{
			ID: "WEB-003", Title: "is reached from this machine alone", Grade: check.GradeAdvice,
			Source: "ip(7), INADDR_ANY",
			Asks:   "Looks up the socket that listens on the port, and what it is bound to. This needs no connection. Where no socket listens, as where a rule hands the port on, it is left open.",
			Why:    "A development server that is bound to every interface is open to everyone in the same network, mostly without a log-in.",
			Causes: []string{"the server's default, or `--host 0.0.0.0`", "a published container port without an address (-p 8080:8080 in the place of -p 127.0.0.1:8080:8080)"},
			Remedies: []string{
				"bind it to 127.0.0.1 (and ::1); see `loopcheck ports audit` for what else is exposed",
			},
		}, ask: exposed, alone: true},
		{Check: check.Check{
			ID: "WEB-004", Title: "speaks the versions of HTTP that it offers", Grade: check.GradeFail,
			Source: "RFC 9112; RFC 9113 3.2 and 3.3; RFC 9114 3.1; RFC 7301 (ALPN); RFC 7838 (Alt-Svc)",
			Asks:   "Asks for the page over HTTP/1.1; over HTTP/2, by ALPN with TLS and with prior knowledge without; and over HTTP/3 where Alt-Svc offers it on this host. What ALPN agrees on and what Alt-Svc offers has to answer.",
			Why:    "A browser speaks what ALPN agreed on and nothing else: where that is an HTTP/2 that is not there it shows no page. One that was offered HTTP/3 tries it on each visit and loses time where nothing answers. What is not offered need not be there.",
			Causes: []string{"the server's list for ALPN names h2, which what answers behind it does not speak", "the UDP port is blocked by a firewall, or not published by the container", "Alt-Svc names another port than the one that QUIC listens on"},
			Remedies: []string{
				"take h2 from the server's list for ALPN (set_alpn_protocols of Python's ssl, ALPNProtocols of Node.js), or switch HTTP/2 on",
				"have the server listen on the UDP port that Alt-Svc names, or take that header away",
			},
		}, ask: speaks},
		{Check: check.Check{
			ID: "WEB-005", Title: "keeps the connection for the next request", Grade: check.GradeWarn,
			Source: "RFC 9112 9.3",
			Asks:   "Sends three GETs, one after the other, and looks whether they went over one connection.",
			Why:    "A connection for each request costs a handshake each, and leaves one in TIME_WAIT: a busy client runs out of ports.",
			Causes: []string{"the server speaks HTTP/1.0, as Python's http.server does", "it answers with `Connection: close`, or without the length of the body"},
			Remedies: []string{
				"switch keep-alive on, and send Content-Length or chunks",
			},
		}, ask: keepsAlive},
		{Check: check.Check{
			ID: "WEB-006", Title: "answers HEAD as GET, without the body", Grade: check.GradeWarn,
			Source: "RFC 9110 9.1 and 9.3.2",
			Asks:   "Sends HEAD and compares the status and, where both have it, Content-Length with those of GET.",
			Why:    "Link checkers, caches, download managers and health checks ask by HEAD, and take a 405 or 404 for a page that is gone.",
			Causes: []string{"the route was written for GET alone"},
			Remedies: []string{
				"route HEAD where GET goes; most frameworks do so by a setting",
			},
		}, ask: head},
		{Check: check.Check{
			ID: "WEB-007", Title: "refuses a request without a Host", Grade: check.GradeWarn,
			Source: "RFC 9112 3.2",
			Asks:   "Sends GET over HTTP/1.1 without the Host header, which must be answered by 400.",
			Why:    "The Host decides which site is meant. Proxies and servers that differ in what they make of its absence can be played off against each other.",
			Causes: []string{"a server that does not read the header"},
			Remedies: []string{
				"put a server in front that does (nginx, Caddy), or check for it yourself",
			},
		}, ask: hostless},
		{Check: check.Check{
			ID: "WEB-008", Title: "refuses names that are not its own (DNS rebinding)", Grade: check.GradeAdvice,
			Source: "RFC 9110 7.2 and 15.5.20",
			Asks:   "Asks for the page with the Host loopcheck.invalid. It should be refused (400, 403, 404 or 421), or be sent to the server's own name. Over TLS the certificate stands in for it: no authority gives an attacker one for the name.",
			Why:    "A page of the Internet can have its name point to 127.0.0.1. To the browser it then is this server's own, and reads all that it serves.",
			Causes: []string{"the server does not look at Host, which is the default of many"},
			Remedies: []string{
				"allow localhost, 127.0.0.1, [::1] and the server's own names alone (Vite: server.allowedHosts, webpack: allowedHosts, Django: ALLOWED_HOSTS, Rails: config.hosts, nginx: a default server that returns 421)",
			},
		}, ask: rebinding},
		{Check: check.Check{
			ID: "WEB-009", Title: "lets no page of any origin read what its users may", Grade: check.GradeFail,
			Source: "Fetch Standard, HTTP-CORS protocol (https://fetch.spec.whatwg.org/#http-cors-protocol)",
			Asks:   "Asks for the page, by GET and by preflight, as a page of https://loopcheck.invalid, of a host that begins as the server's own, and of the origin null. To allow one of them with credentials fails; to reflect it without, and to say * with credentials, warns.",
			Why:    "With credentials an answer is what the person who is logged in may see: each page of the Internet that this person opens can read it and act with it.",
			Causes: []string{"the server reflects whatever Origin it is sent", "it compares the beginning or end of the origin only", "it allows null, for files opened from the disk"},
			Remedies: []string{
				"name the origins that are allowed, compare them whole, and send `Vary: Origin`",
				"say * where everybody may read it, without Access-Control-Allow-Credentials",
			},
		}, ask: crossOrigin},
		{Check: check.Check{
			ID: "WEB-010", Title: "answers a conditional request with 304", Grade: check.GradeWarn,
			Source: "RFC 9110 13.1.2, 13.1.3 and 15.4.5",
			Asks:   "Asks again with If-None-Match, or If-Modified-Since, of what the first answer said, and looks for 304 without a body.",
			Why:    "Without it browsers load again what they have.",
			Causes: []string{"the ETag changes with each answer", "something on the way takes the header away"},
			Remedies: []string{
				"make the ETag of what is served alone, and compare it",
			},
		}, ask: conditional},
		{Check: check.Check{
			ID: "WEB-011", Title: "serves the ranges that it offers", Grade: check.GradeWarn,
			Source: "RFC 9110 14.2, 14.4, 15.3.7 and 15.5.17",
			Asks:   "Where the answer says `Accept-Ranges: bytes`, asks for the first byte, which must come as 206 with Content-Range, and for one behind the end, which must be 416.",
			Why:    "Videos are wound and downloads resumed by ranges; a wrong one damages the file.",
			Causes: []string{"a layer that compresses or rewrites the body behind the one that offers ranges"},
			Remedies: []string{
				"send `Accept-Ranges: none` where ranges are not served",
			},
		}, ask: ranges},
		{Check: check.Check{
			ID: "WEB-012", Title: "compresses so that every client can read it", Grade: check.GradeWarn,
			Source: "RFC 9110 8.4, 12.5.3 and 12.5.5",
			Asks:   "Asks with and without `Accept-Encoding: gzip`. A body that comes compressed must be whole, and the answer say `Vary: Accept-Encoding`; without being asked for, none may come compressed.",
			Why:    "A cache without that Vary gives compressed bytes to clients that cannot read them.",
			Causes: []string{"compression that was added behind the framework's own headers"},
			Remedies: []string{
				"send `Vary: Accept-Encoding` with what may come either way",
			},
		}, ask: compression},
		{Check: check.Check{
			ID: "WEB-013", Title: "lets no cache keep what is one person's", Grade: check.GradeWarn,
			Source: "RFC 9111 3 and 5.2.2; RFC 6265 3",
			Asks:   "Looks at Cache-Control and Set-Cookie of the answer. One that sets a cookie must not be for shared caches (public, s-maxage).",
			Why:    "A proxy that keeps a Set-Cookie gives one person's session to the next.",
			Causes: []string{"headers for static files that hold for every path"},
			Remedies: []string{
				"send `Cache-Control: private` or `no-store` with what sets cookies",
			},
		}, ask: caching},
		{Check: check.Check{
			ID: "WEB-014", Title: "keeps its cookies from scripts and other sites", Grade: check.GradeAdvice,
			Source: "RFC 6265 4.1.2.5, 4.1.2.6; RFC 6265bis 4.1.2.7 (SameSite)",
			Asks:   "Looks at each Set-Cookie of the answer for HttpOnly, SameSite and, over TLS, Secure.",
			Why:    "Ports of a host share its cookies: whatever else runs on localhost gets them.",
			Causes: []string{"defaults of the framework in its development mode"},
			Remedies: []string{
				"set HttpOnly and SameSite=Lax on cookies of sessions, and Secure where there is TLS",
			},
		}, ask: cookies},
		{Check: check.Check{
			ID: "WEB-015", Title: "says what it sends, and in which characters", Grade: check.GradeWarn,
			Source: "RFC 9110 8.3; HTML Standard, determining the character encoding; RFC 2046 4.1.2",
			Asks:   "Looks at Content-Type of the answer: one with a body must have it, and text/html must say its charset, in the header, by a byte order mark or in the first 1024 bytes.",
			Why:    "Without it browsers guess: umlauts break, and text that holds tags may run as a page.",
			Causes: []string{"a handler that writes bytes and no header", "a file extension that the server does not know"},
			Remedies: []string{
				"send Content-Type with charset=utf-8, and `X-Content-Type-Options: nosniff`",
			},
		}, ask: contentType},
		{Check: check.Check{
			ID: "WEB-016", Title: "tells nothing of its insides where there is no such page", Grade: check.GradeWarn,
			Source: "RFC 9110 15.5.5 and 15.6",
			Asks:   "Asks for a path that nobody has. A status of 500 and above, and a stack trace in the answer, warn.",
			Why:    "A trace shows paths, versions and sometimes secrets of the environment to whoever asks.",
			Causes: []string{"the debug mode of a framework", "an error of the handler for pages that are not there"},
			Remedies: []string{
				"switch the debug mode off where others can reach the server",
			},
		}, ask: errorPage},
		{Check: check.Check{
			ID: "WEB-017", Title: "speaks TLS 1.2 or 1.3, and nothing older", Grade: check.GradeWarn,
			Source: "RFC 8446; RFC 8996",
			Asks:   "Makes a handshake with each version from 1.0 to 1.3.",
			Why:    "TLS 1.0 and 1.1 are given up for their weaknesses; without 1.3 each new connection takes a round trip more.",
			Causes: []string{"an old library, or a configuration that names versions"},
			Remedies: []string{
				"allow 1.2 and 1.3 alone (nginx: ssl_protocols TLSv1.2 TLSv1.3)",
			},
		}, ask: tlsVersions},
		{Check: check.Check{
			ID: "WEB-018", Title: "shows a certificate for its name that is trusted", Grade: check.GradeFail,
			Source: "RFC 5280 6; RFC 6125 6; RFC 9110 4.3.4",
			Asks:   "Verifies the chain against the system's authorities, or those of --ca, for the host of the URL and now.",
			Why:    "Clients refuse the connection; who teaches people to click it away teaches them to click away an attack.",
			Causes: []string{"a self-signed certificate", "a certificate for another name, or that has expired", "an intermediate certificate that is not sent"},
			Remedies: []string{
				"give the authority's certificate with --ca FILE; for a development server make one with mkcert",
			},
		}, ask: certificate},
		{Check: check.Check{
			ID: "WEB-019", Title: "has a certificate that is good for two weeks more", Grade: check.GradeAdvice,
			Source: "RFC 5280 4.1.2.5",
			Asks:   "Looks at the end of the certificate's validity, and that of each it is signed by, as far as they are sent.",
			Why:    "Renewal that has stopped working shows weeks before it hurts.",
			Causes: []string{"renewal does not run, or the server was not told to read the new one"},
			Remedies: []string{
				"renew it, and have the server read it again",
			},
		}, ask: expiry},
		{Check: check.Check{
			ID: "WEB-020", Title: "loses no request over 1 and 64 connections", Grade: check.GradeFail,
			Source: "RFC 9110 15; listen(2)",
			Asks:   "Sends GETs over 1 and over 64 connections at a time, each over a new connection and over kept ones, about 0.4 s each, and longer where they are slower than the first one. Each that ends in that time has to be answered with the status of the first one. Where single connections lost nothing, and the queue of those that wait to be accepted explains the rest, it warns. The figures are in the table of timings.",
			Why:    "A browser opens six connections to a host, and a few tabs make dozens. A server that resets or refuses some of them fails at random. One whose queue is full lets the kernel turn connections away, which clients ask for again after a second.",
			Causes: []string{"a backlog of listen(2) or a limit of connections that is too low (Python's http.server: 5)", "a server that serves one connection at a time", "a rate limit"},
			Remedies: []string{
				"raise the backlog and the number of workers; see `loopcheck explain TCP-005`",
			},
		}, ask: underLoad},
	}
	for n := range questions {
		questions[n].Suite = Suite.Name
	}
}
