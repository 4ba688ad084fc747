package http

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// strippers are who takes what a conditional request is about.
var strippers = "a proxy or cache in between removes or weakens ETag, or answers conditional requests itself"

var _ = suite.It("answers a conditional GET with 304 and no body while nothing has changed", check.Check{
	ID: "HTTP-007", Grade: check.GradeFail,
	Source: "RFC 9110 13.1.2, 13.1.3, 15.4.5; RFC 9111 4.3",
	Asks:   "Asks for a file by GET with If-None-Match and its tag, with If-Modified-Since and the time of its last change, and with both another tag and an earlier time: 304 with the tag and no body must come for the first two, and the whole file for the others.",
	Why:    "Browsers and caches revalidate so. Where it fails, either each page is loaded whole each time, or a change is not seen.",
	Causes: and(causes, strippers), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	at, since := server.URL("/file"), func(t time.Time) string { return t.Format(http.TimeFormat) }
	for what, fields := range map[string][]string{
		"with its tag":                     {"If-None-Match", webserver.FileTag},
		"with its tag among others":        {"If-None-Match", `"other", ` + webserver.FileTag},
		"with the time of its last change": {"If-Modified-Since", since(webserver.FileModified)},
	} {
		response := get(bounded, client, at, fields...)
		expectStatus(response, http.StatusNotModified, "GET "+what)
		Expect(response.Body).To(BeEmpty(), "the body of a 304")
		Expect(response.Header.Get("ETag")).To(Equal(webserver.FileTag), "the tag of a 304")
	}
	for what, fields := range map[string][]string{
		"with another tag":     {"If-None-Match", `"other"`},
		"with an earlier time": {"If-Modified-Since", since(webserver.FileModified.Add(-time.Hour))},
	} {
		response := get(bounded, client, at, fields...)
		expectStatus(response, http.StatusOK, "GET "+what)
		expectBytes(response.Body, webserver.Pattern(webserver.FileBytes), "the file")
	}
})

var _ = suite.It("refuses with 412 a change that would overwrite another", check.Check{
	ID: "HTTP-008", Grade: check.GradeFail,
	Source: "RFC 9110 13.1.1, 13.1.2, 13.1.4, 13.2.2, 15.5.13",
	Asks:   "Two clients read a note and its tag. The first replaces it with If-Match and that tag, which must succeed; the second does the same, and must get 412. So must If-Unmodified-Since with an earlier time, and If-None-Match: * on a note that is there. The note must then be the first client's.",
	Why:    "It is how an API keeps two editors from overwriting each other. Where the precondition is lost on its way, the last one wins and nobody is told.",
	Causes: and(causes, strippers), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	at := server.URL("/notes/shared")
	put := func(text string, fields ...string) *web.Response {
		h := header(fields...)
		h.Set("Content-Type", "application/json")
		return ask(bounded, client, call{http.MethodPut, at, h, `{"text":"` + text + `"}`})
	}
	expectStatus(put("as it was", "If-None-Match", "*"), http.StatusCreated, "PUT of a note that is not there, if there is none")
	tag := get(bounded, client, at).Header.Get("ETag")
	Expect(tag).NotTo(BeEmpty(), "the tag of a note")

	expectStatus(put("the first's", "If-Match", tag), http.StatusNoContent, "the first PUT with the tag that was read")
	expectStatus(put("the second's", "If-Match", tag), http.StatusPreconditionFailed, "the second PUT with the same tag")
	before := webserver.FileModified.Format(http.TimeFormat)
	expectStatus(put("the third's", "If-Unmodified-Since", before), http.StatusPreconditionFailed, "PUT if unmodified since long ago")
	expectStatus(put("the fourth's", "If-None-Match", "*"), http.StatusPreconditionFailed, "PUT of a note that is there, if there is none")
	expectNote(get(bounded, client, at), webserver.Note{Text: "the first's"}, "GET after all of them")
})

var _ = suite.It("asks the server again for what may not be stored, and sees its own clock", check.Check{
	ID: "HTTP-009", Grade: check.GradeFail,
	Source: "RFC 9111 5.2.2.5 (no-store), 5.1 (Age); RFC 9110 6.6.1 (Date)",
	Asks:   "Asks three times for a count that each request raises, and which is sent with Cache-Control: no-store: 1, 2 and 3 must come, without an Age, and with a Date that this machine's clock had meanwhile.",
	Why:    "A response that a cache keeps against the server's word shows one user what another saw. A Date that is off makes every cache between here and a browser keep things too long or not at all.",
	Causes: and(causes, "a caching proxy in between stores what it must not", "the clock of this machine was set meanwhile"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	for want := range 3 {
		before := time.Now().Truncate(time.Second)
		response := get(bounded, client, server.URL("/count"))
		expectStatus(response, http.StatusOK, "GET of a count")
		var count int
		expectJSON(response, &count)
		Expect(count).To(Equal(want+1), "the count that each request raises")
		Expect(response.Header).NotTo(HaveKey("Age"), "the header of what was not stored")
		date, err := http.ParseTime(response.Header.Get("Date"))
		Expect(err).NotTo(HaveOccurred(), "the Date of the response")
		Expect(date).To(And(BeTemporally(">=", before), BeTemporally("<=", time.Now())), "the Date of the response")
	}
})
