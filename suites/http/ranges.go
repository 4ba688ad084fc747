package http

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

// rangeless are who knows no ranges.
var rangeless = "a proxy or a scanner for viruses in between loads the whole file first, and drops Range or answers 200"

var _ = suite.It("sends the part of a file that a range asks for, and 416 for one beyond its end", check.Check{
	ID: "HTTP-010", Grade: check.GradeFail,
	Source: "RFC 9110 14.1.2, 14.2, 14.4, 15.3.7, 15.5.17",
	Asks:   "Asks for the first 100 bytes of a file of 100,000, one in its middle, the last 100, and all from byte 99,900: 206 with Content-Range and exactly these bytes must come. For a range that begins beyond the end 416 must come, with the length of the file.",
	Why:    "Players seek by ranges, and downloads go on by them. A wrong byte at a seam is a broken file that nobody notices.",
	Causes: and(causes, rangeless), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	whole := webserver.Pattern(webserver.FileBytes)
	for _, c := range []struct {
		asked       string
		first, last int
	}{
		{"bytes=0-99", 0, 99},
		{"bytes=50000-50000", 50_000, 50_000},
		{"bytes=-100", 99_900, 99_999},
		{"bytes=99900-", 99_900, 99_999},
	} {
		response := get(bounded, client, server.URL("/file"), "Range", c.asked)
		expectStatus(response, http.StatusPartialContent, "GET of "+c.asked)
		Expect(response.Header.Get("Content-Range")).To(Equal(fmt.Sprintf("bytes %d-%d/100000", c.first, c.last)), "Content-Range of %s", c.asked)
		expectBytes(response.Body, whole[c.first:c.last+1], c.asked)
	}
	beyond := get(bounded, client, server.URL("/file"), "Range", "bytes=100000-")
	expectStatus(beyond, http.StatusRequestedRangeNotSatisfiable, "GET of a range beyond the end")
	Expect(beyond.Header.Get("Content-Range")).To(Equal("bytes */100000"), "Content-Range of a 416")
})

var _ = suite.It("sends several ranges as the parts of one response", check.Check{
	ID: "HTTP-011", Grade: check.GradeFail,
	Source: "RFC 9110 14.6, 15.3.7.2; RFC 2046 5.1",
	Asks:   "Asks for the bytes 0 to 9, 40,000 to 40,999 and the last 10 of a file in one request: 206 must come as multipart/byteranges, with three parts, the Content-Range of each, and exactly their bytes.",
	Why:    "Readers of PDF and of disk images in pieces ask so. A proxy that knows one range alone sends something that fits no part.",
	Causes: and(causes, rangeless), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	response := get(bounded, client, server.URL("/file"), "Range", "bytes=0-9, 40000-40999, -10")
	expectStatus(response, http.StatusPartialContent, "GET of three ranges")
	mediaType, parameters, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	Expect(err).NotTo(HaveOccurred(), "Content-Type of three ranges")
	Expect(mediaType).To(Equal("multipart/byteranges"), "Content-Type of three ranges")
	parts, whole := multipart.NewReader(bytes.NewReader(response.Body), parameters["boundary"]), webserver.Pattern(webserver.FileBytes)
	for _, want := range [][2]int{{0, 9}, {40_000, 40_999}, {99_990, 99_999}} {
		name := fmt.Sprintf("bytes %d-%d/100000", want[0], want[1])
		part, err := parts.NextPart()
		Expect(err).NotTo(HaveOccurred(), "the part %s", name)
		Expect(part.Header.Get("Content-Range")).To(Equal(name), "Content-Range of a part")
		content, err := io.ReadAll(part)
		Expect(err).NotTo(HaveOccurred(), "the part %s", name)
		expectBytes(content, whole[want[0]:want[1]+1], name)
	}
	_, err = parts.NextPart()
	Expect(err).To(MatchError(io.EOF), "what comes after the last part")
})

var _ = suite.It("sends the whole file in place of a range where If-Range is of another version", check.Check{
	ID: "HTTP-012", Grade: check.GradeFail,
	Source: "RFC 9110 13.1.5",
	Asks:   "Asks for a range of a file with If-Range: with its tag and with the time of its last change 206 and the range must come, with another tag and another time 200 and the whole file.",
	Why:    "A download that goes on after a break asks so. Where If-Range is lost, the end of the new file is put behind the beginning of the old one.",
	Causes: and(causes, rangeless, strippers), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	whole := webserver.Pattern(webserver.FileBytes)
	for _, same := range []string{webserver.FileTag, webserver.FileModified.Format(http.TimeFormat)} {
		part := get(bounded, client, server.URL("/file"), "Range", "bytes=1000-1999", "If-Range", same)
		expectStatus(part, http.StatusPartialContent, "GET of a range with If-Range: "+same)
		expectBytes(part.Body, whole[1000:2000], "the range")
	}
	for _, other := range []string{`"other"`, webserver.FileModified.AddDate(0, 0, -1).Format(http.TimeFormat)} {
		all := get(bounded, client, server.URL("/file"), "Range", "bytes=1000-1999", "If-Range", other)
		expectStatus(all, http.StatusOK, "GET of a range with If-Range: "+other)
		expectBytes(all.Body, whole, "the file")
	}
})
