package http

import (
	"encoding/json"
	"net/http"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// rewriters are who changes an API's requests and responses on their way.
var rewriters = "a proxy, an API gateway or a security product in between lets some methods pass only, or answers in the server's place"

var _ = suite.It("creates, reads, replaces, changes and deletes a resource, each with its status", check.Check{
	ID: "HTTP-004", Grade: check.GradeFail,
	Source: "RFC 9110 9.3 (GET, POST, PUT, DELETE), 15.3 (200, 201, 204), 15.5.5 (404); RFC 5789; RFC 7396",
	Asks:   "Works on a note in the memory of a server: POST must give 201 with a Location, GET there 200 and what was posted, PUT 204, PATCH of one member 200 and the other member as it was, DELETE 204, GET then 404, and PUT of what is not there 201.",
	Why:    "An API is these methods and their status codes: what changes or swallows one of them on its way breaks the client where it is least expected.",
	Causes: and(causes, rewriters), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	asJSON := header("Content-Type", "application/json")

	created := ask(bounded, client, call{http.MethodPost, server.URL("/notes"), asJSON, `{"text":"first","done":true}`})
	expectStatus(created, http.StatusCreated, "POST of a note")
	location := created.Header.Get("Location")
	Expect(location).To(HavePrefix("/notes/"), "the Location of a note that was created")
	at := server.URL(location)

	expectNote(get(bounded, client, at), webserver.Note{Text: "first", Done: true}, "GET of the note")

	replaced := ask(bounded, client, call{http.MethodPut, at, asJSON, `{"text":"second","done":true}`})
	expectStatus(replaced, http.StatusNoContent, "PUT of the note")
	Expect(replaced.Body).To(BeEmpty(), "the body of a 204")

	changed := ask(bounded, client, call{http.MethodPatch, at, header("Content-Type", webserver.MergePatch), `{"done":false}`})
	expectNote(changed, webserver.Note{Text: "second"}, "PATCH of the note")
	expectNote(get(bounded, client, at), webserver.Note{Text: "second"}, "GET of the note that was changed")

	expectStatus(ask(bounded, client, call{method: http.MethodDelete, url: at}), http.StatusNoContent, "DELETE of the note")
	expectStatus(get(bounded, client, at), http.StatusNotFound, "GET of the note that was deleted")

	again := ask(bounded, client, call{http.MethodPut, at, asJSON, `{"text":"third"}`})
	expectStatus(again, http.StatusCreated, "PUT of a note that is not there")
})

// expectNote expects 200 and a note.
func expectNote(r *web.Response, want webserver.Note, what string) {
	GinkgoHelper()
	expectStatus(r, http.StatusOK, what)
	var note webserver.Note
	expectJSON(r, &note)
	Expect(note).To(Equal(want), "%s", what)
}

// expectJSON reads a body that is JSON.
func expectJSON(r *web.Response, into any) {
	GinkgoHelper()
	Expect(json.Unmarshal(r.Body, into)).To(Succeed(), "the body %.200q as JSON", r.Body)
}

func seenBy(r *web.Response) (s webserver.Seen) {
	GinkgoHelper()
	expectStatus(r, http.StatusOK, "GET of what the server sees")
	expectJSON(r, &s)
	return s
}

var _ = suite.It("answers HEAD with the header of GET and no body, and the connection goes on", check.Check{
	ID: "HTTP-005", Grade: check.GradeFail,
	Source: "RFC 9110 9.3.2, 8.6; RFC 9112 6.3",
	Asks:   "Asks for a file of 100,000 bytes by HEAD: 200 must come with its Content-Length, ETag and Last-Modified, and no body. A GET over the same connection must then get the whole file.",
	Why:    "Load balancers and package managers ask by HEAD. Where a body is sent, or waited for, all that follows on the connection is read from the wrong byte.",
	Causes: and(causes, rewriters), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{Connections: 1})
	load := spec.StartLoad()
	head := ask(bounded, client, call{method: http.MethodHead, url: server.URL("/file")})
	expectStatus(head, http.StatusOK, "HEAD of a file")
	Expect(head.Header).To(And(
		HaveKeyWithValue("Content-Length", []string{"100000"}),
		HaveKeyWithValue("Etag", []string{webserver.FileTag}),
		HaveKeyWithValue("Last-Modified", []string{webserver.FileModified.Format(http.TimeFormat)})), "the header of HEAD")
	Expect(head.Body).To(BeEmpty(), "the body of HEAD")
	whole := get(bounded, client, server.URL("/file"))
	expectStatus(whole, http.StatusOK, "GET of the file")
	expectBytes(whole.Body, webserver.Pattern(webserver.FileBytes), "the file")
	expectKept(load, server.Connections(), 1, "connections that the server was given")
})

var _ = suite.It("refuses what a resource does not take with the status that says why", check.Check{
	ID: "HTTP-006", Grade: check.GradeFail,
	Source: "RFC 9110 15.5.1 (400), 15.5.5 (404), 15.5.6 (405, with Allow), 15.5.16 (415); RFC 5789 2.2 (Accept-Patch)",
	Asks:   "Sends a DELETE that a list of notes does not take, a GET of a path that is not there, a note as plain text, a note that is no JSON, and a change in the wrong media type: 405 with the methods allowed, 404, 415, 400 and 415 with Accept-Patch must come.",
	Why:    "A client tells its user, or decides to try again, by these codes. A proxy that answers 502 or an error page in their place hides whose mistake it was.",
	Causes: and(causes, rewriters), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	asJSON, asText := header("Content-Type", "application/json"), header("Content-Type", "text/plain")

	refused := ask(bounded, client, call{method: http.MethodDelete, url: server.URL("/notes")})
	expectStatus(refused, http.StatusMethodNotAllowed, "DELETE of a list")
	Expect(strings.Split(refused.Header.Get("Allow"), ", ")).To(ConsistOf("GET", "HEAD", "POST"), "the methods that the list allows")

	expectStatus(get(bounded, client, server.URL("/nowhere")), http.StatusNotFound, "GET of what is not there")
	expectStatus(ask(bounded, client, call{http.MethodPost, server.URL("/notes"), asText, "a note"}), http.StatusUnsupportedMediaType, "POST of plain text")
	expectStatus(ask(bounded, client, call{http.MethodPost, server.URL("/notes"), asJSON, `{"text":`}), http.StatusBadRequest, "POST of half a note")

	patch := ask(bounded, client, call{http.MethodPatch, server.URL("/notes/1"), asJSON, `{}`})
	expectStatus(patch, http.StatusUnsupportedMediaType, "PATCH in another media type")
	Expect(patch.Header.Get("Accept-Patch")).To(Equal(webserver.MergePatch), "the media type that the note takes")
})
