package http

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

const (
	mediumBytes = 300_000
	largeBytes  = 16 << 20
)

// collectors are who waits for the whole body.
var collectors = "a proxy or a scanner in between collects the whole body before it hands anything on, and sends it with a length"

// digestOf is the Content-Digest of a body.
func digestOf(body []byte) string {
	sum := sha256.Sum256(body)
	return webserver.Digest(sum[:])
}

// post is a POST whose body is read from where its length is not known.
func post(ctx context.Context, url string, body io.Reader) *http.Request {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	Expect(err).NotTo(HaveOccurred())
	return request
}

var _ = suite.It("carries bodies of unknown length in chunks both ways, with trailers after them", check.Check{
	ID: "HTTP-013", Grade: check.GradeFail,
	Source: "RFC 9112 7.1, 7.1.2; RFC 9110 6.5; RFC 9530 2",
	Asks:   "Posts 300,000 bytes in chunks, with their digest as a trailer, and gets as many so. Each side must see the chunked transfer coding, every byte and the other's trailer.",
	Why:    "Whatever is made while it is sent comes in chunks: exports, logs, gRPC-Web, server-rendered pages. The trailer is where it says whether it is whole.",
	Causes: and(causes, collectors), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	sent := webserver.Pattern(mediumBytes)

	request := post(bounded, server.URL("/sum"), io.NopCloser(bytes.NewReader(sent)))
	request.Trailer = header("Content-Digest", digestOf(sent))
	expectSum(send(bounded, client, request), webserver.Sum{
		Bytes: mediumBytes, Digest: digestOf(sent), Chunked: true, Trailer: digestOf(sent), Method: http.MethodPost,
	})

	got := get(bounded, client, server.URL(fmt.Sprintf("/bytes?n=%d", mediumBytes)))
	expectStatus(got, http.StatusOK, "GET of bytes in chunks")
	Expect(got.Chunked).To(BeTrueBecause("the response was not in the chunked transfer coding"))
	expectBytes(got.Body, sent, "the bytes in chunks")
	Expect(got.Trailer.Get("Content-Digest")).To(Equal(digestOf(sent)), "the trailer of the response")
})

// expectSum compares what the server says of a body.
func expectSum(r *web.Response, want webserver.Sum) {
	GinkgoHelper()
	expectStatus(r, http.StatusOK, "POST of a body")
	var sum webserver.Sum
	expectJSON(r, &sum)
	Expect(sum).To(Equal(want), "what the server was sent")
}

// counted counts what is read of a body.
type counted struct {
	io.Reader
	read atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read.Add(int64(n))
	return n, err
}

// expecting is a POST that sends its body only once it is told to.
func expecting(ctx context.Context, url string, body io.Reader, length int) *http.Request {
	GinkgoHelper()
	request := post(ctx, url, io.NopCloser(body))
	request.ContentLength = int64(length)
	request.Header.Set("Expect", "100-continue")
	return request
}

var _ = suite.It("sends a body after 100 (Continue)", check.Check{
	ID: "HTTP-014", Grade: check.GradeFail,
	Source: "RFC 9110 10.1.1, 15.2.1",
	Asks:   "Posts 300,000 bytes with Expect: 100-continue and sends no byte of them before 100 has come, however long that takes: it must come, and then the whole body must arrive.",
	Why:    "curl does so for every large upload, and waits for a second where 100 does not come: each upload is then a second slower.",
	Causes: and(causes, "a proxy in between swallows 100 (Continue) or Expect"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	// The client waits for longer than the check does.
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{ContinueTimeout: 2 * patience})
	body := webserver.Pattern(mediumBytes)
	response := send(bounded, client, expecting(bounded, server.URL("/sum"), bytes.NewReader(body), len(body)))
	expectSum(response, webserver.Sum{Bytes: mediumBytes, Digest: digestOf(body), Method: http.MethodPost})
	Expect(response.Continued).To(BeTrueBecause("the response came, and no 100 before it"))
})

var _ = suite.It("sends no body to a server that refuses it", check.Check{
	ID: "HTTP-015", Grade: check.GradeFail,
	Source: "RFC 9110 10.1.1 (a final status in place of 100), 15.5.14",
	Asks:   "Posts 16 MiB with Expect: 100-continue to a path that answers 413 at once: 413 must come, no 100, and not a byte of the body may have been sent.",
	Why:    "Without it a client sends gigabytes to learn that they are too large, or is cut off by a reset before it has read why.",
	Causes: and(causes, "a proxy in between answers 100 (Continue) by itself, and takes the body"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{ContinueTimeout: 2 * patience})
	body := &counted{Reader: bytes.NewReader(make([]byte, largeBytes))}
	response := send(bounded, client, expecting(bounded, server.URL("/refuse"), body, largeBytes))
	expectStatus(response, http.StatusRequestEntityTooLarge, "POST that is refused")
	Expect(response.Continued).To(BeFalseBecause("100 came from a server that refuses the body"))
	Expect(body.read.Load()).To(BeZero(), "bytes of the body that were sent")
})

var _ = suite.It("carries 16 MiB each way without a wrong byte", check.Check{
	ID: "HTTP-016", Grade: check.GradeFail,
	Source: "RFC 9110 8.6; RFC 9112 6.2; RFC 9293 3.8 (flow control)",
	Asks:   "Posts 16 MiB with their length and gets 16 MiB: the SHA-256 digests that both sides compute must be the same.",
	Why:    "Images, models and backups move so. What checksums of TCP do not see, such as a driver or a program of eBPF that changes bytes, shows here.",
	Causes: and(causes, "a limit of a proxy in between on the size of a body (413), or on its time", "the memory of TCP is used up (net.ipv4.tcp_mem)"),
	Remedies: and(remedies,
		"compare what TCP holds with its bounds: `cat /proc/net/sockstat`, `sysctl net.ipv4.tcp_mem`"),
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, 2*patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	body := webserver.Pattern(largeBytes)
	request := post(bounded, server.URL("/sum"), bytes.NewReader(body))
	began := time.Now()
	up := send(bounded, client, request)
	spec.Measure("upload_bytes_per_s", float64(largeBytes)/time.Since(began).Seconds())
	expectSum(up, webserver.Sum{Bytes: largeBytes, Digest: digestOf(body), Method: http.MethodPost})

	down := get(bounded, client, server.URL(fmt.Sprintf("/bytes?n=%d", largeBytes)))
	expectStatus(down, http.StatusOK, "GET of 16 MiB")
	expectBytes(down.Body, body, "what was got")
	Expect(down.Trailer.Get("Content-Digest")).To(Equal(digestOf(body)), "the digest that the server computed")
	spec.Measure("download_bytes_per_s", float64(largeBytes)/down.Timings.Total.Seconds())
})

var _ = suite.It("compresses by gzip for who accepts it, and only then", check.Check{
	ID: "HTTP-017", Grade: check.GradeFail,
	Source: "RFC 9110 8.4.1.3, 12.5.3, 12.5.5",
	Asks:   "Asks for a text with Accept-Encoding: gzip and without: the first must come compressed and be the text when it is decompressed, the second as it is. Both must say Vary: Accept-Encoding.",
	Why:    "A cache or proxy that mixes the two up sends compressed bytes to who cannot read them, or decompresses on its way and leaves the wrong length.",
	Causes: and(causes, "a proxy in between compresses, decompresses, or caches without regard to Vary"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server := serve(bounded, webserver.Config{})
	for what, gzip := range map[string]bool{"with gzip": true, "without gzip": false} {
		response := get(bounded, newClient(web.Options{Gzip: gzip}), server.URL("/text"))
		expectStatus(response, http.StatusOK, "GET "+what)
		Expect(response.Decompressed).To(Equal(gzip), "%s: came compressed", what)
		Expect(response.Header).NotTo(HaveKey("Content-Encoding"), "%s: the header of what is read", what)
		Expect(response.Header.Values("Vary")).To(ContainElement("Accept-Encoding"), "%s: Vary", what)
		expectBytes(response.Body, []byte(webserver.Text), "the text "+what)
	}
})
