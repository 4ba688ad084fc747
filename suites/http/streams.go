package http

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/coder/websocket"
	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/probe/web"
	"github.com/loopcheck/loopcheck/probe/webserver"
	"github.com/loopcheck/loopcheck/suites/spec"
)

var _ = suite.It("delivers server-sent events one by one, and after a break those that were missed", check.Check{
	ID: "HTTP-028", Grade: check.GradeFail,
	Source: "WHATWG HTML 9.2 (server-sent events), 9.2.4 (Last-Event-ID); RFC 9112 7.1",
	Asks:   "Reads a stream of 5 events, of which the server sends each only when the one before has arrived. After the third the client breaks off and asks again with Last-Event-ID: 3: the fourth and fifth must come, and the end of the stream.",
	Why:    "Progress bars, chats and answers of language models come so. What is held back on its way shows nothing for a minute, and then everything at once.",
	Causes: and(causes, collectors, "a proxy in between buffers responses (nginx: proxy_buffering) or compresses them"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server, client := serve(bounded, webserver.Config{}), newClient(web.Options{})
	const before = 3
	breaking, breakOff := context.WithCancel(bounded)
	defer breakOff()
	first := openEvents(breaking, client, server, 0)
	for i := range before {
		if i > 0 {
			first.letNext(bounded, client, server)
		}
		Expect(first.next()).To(Equal(i+1), "the event that came")
	}
	breakOff()

	again := openEvents(bounded, client, server, before)
	for i := before + 1; i <= webserver.Events; i++ {
		if i > before+1 {
			again.letNext(bounded, client, server)
		}
		Expect(again.next()).To(Equal(i), "the event that came after the break")
	}
	Expect(again.lines.Scan()).To(BeFalseBecause("something came after the last event: %q", again.lines.Text()))
	Expect(again.lines.Err()).NotTo(HaveOccurred(), "the end of the stream")
})

// letNext lets the server send the next event.
func (e events) letNext(ctx context.Context, client *web.Client, server *webserver.Server) {
	GinkgoHelper()
	next := ask(ctx, client, call{method: http.MethodPost, url: server.URL("/events/next?stream=" + e.name)})
	expectStatus(next, http.StatusNoContent, "POST for the next event")
}

// events reads a stream of them, which has a name.
type events struct {
	name  string
	lines *bufio.Scanner
}

// openEvents opens a stream after the last event that the client has had.
func openEvents(ctx context.Context, client *web.Client, server *webserver.Server, last int) events {
	GinkgoHelper()
	name := fmt.Sprintf("after-%d", last)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL("/events?stream="+name), nil)
	Expect(err).NotTo(HaveOccurred())
	request.Header.Set("Accept", "text/event-stream")
	if last > 0 {
		request.Header.Set("Last-Event-ID", strconv.Itoa(last))
	}
	load := spec.StartLoad()
	response, err := client.Stream(ctx, request)
	excuse(load, err)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(func() { _ = response.Body.Close() })
	Expect(status(response.StatusCode)).To(Equal(status(http.StatusOK)), "GET of events")
	Expect(response.Header.Get("Content-Type")).To(Equal("text/event-stream"), "Content-Type of events")
	return events{name, bufio.NewScanner(response.Body)}
}

// next reads an event up to the empty line that ends it, and returns its number,
// which its id and data both have.
func (e events) next() int {
	GinkgoHelper()
	load := spec.StartLoad()
	fields := map[string]string{}
	for e.lines.Scan() {
		line := e.lines.Text()
		if line == "" {
			number, err := strconv.Atoi(fields["id"])
			Expect(err).NotTo(HaveOccurred(), "the id of the event %v", fields)
			Expect(fields).To(HaveKeyWithValue("data", fmt.Sprintf("event %d", number)), "the event")
			return number
		}
		name, value, _ := strings.Cut(line, ":")
		fields[name] = strings.TrimPrefix(value, " ")
	}
	load.ExcuseTimeout(e.lines.Err())
	Expect(e.lines.Err()).NotTo(HaveOccurred(), "the next event")
	Fail("the stream ended before the next event")
	return 0
}

var _ = suite.It("carries WebSocket messages both ways, answers a ping, and closes with its code", check.Check{
	ID: "HTTP-029", Grade: check.GradeFail,
	Source: "RFC 6455 4 (opening), 5.4 (fragments), 5.5 (ping, close), 5.6 (text, binary); RFC 9110 7.8 (Upgrade)",
	Asks:   "Opens a WebSocket with a subprotocol and sends a text, an empty message and 1 MiB of binary data in fragments: each must come back whole and of its kind. A ping must bring a pong, and closing with 1000 the same code.",
	Why:    "Development servers reload pages by it, and so do terminals and dashboards in a browser. A proxy that does not know Upgrade breaks them, while plain pages work.",
	Causes: and(causes, "a proxy in between does not hand on Upgrade and Connection (nginx: proxy_set_header Upgrade)"), Remedies: remedies,
}, func(ctx SpecContext) {
	bounded := spec.Within(ctx, patience)
	server := serve(bounded, webserver.Config{})
	transport := &http.Transport{DialContext: web.DialContext}
	DeferCleanup(transport.CloseIdleConnections)
	load := spec.StartLoad()
	conn, _, err := websocket.Dial(bounded, server.URL("/socket"), &websocket.DialOptions{
		HTTPClient: &http.Client{Transport: transport}, Subprotocols: []string{"echo"},
	})
	excuse(load, err)
	Expect(err).NotTo(HaveOccurred(), "open a WebSocket")
	DeferCleanup(func() { _ = conn.CloseNow() })
	conn.SetReadLimit(webserver.MaxMessageBytes)
	Expect(conn.Subprotocol()).To(Equal("echo"), "the subprotocol that was agreed on")

	const large, fragment = 1 << 20, 100_000
	for _, m := range []struct {
		what    string
		kind    websocket.MessageType
		message []byte
	}{
		{"a text", websocket.MessageText, []byte("Grüße an localhost")},
		{"an empty message", websocket.MessageText, nil},
		{"1 MiB in fragments", websocket.MessageBinary, webserver.Pattern(large)},
	} {
		err := writeInFragments(bounded, conn, m.kind, m.message, fragment)
		excuse(load, err)
		Expect(err).NotTo(HaveOccurred(), "send %s", m.what)
		kind, got, err := conn.Read(bounded)
		excuse(load, err)
		Expect(err).NotTo(HaveOccurred(), "the echo of %s", m.what)
		Expect(kind).To(Equal(m.kind), "the kind of the echo of %s", m.what)
		expectBytes(got, m.message, "the echo of "+m.what)
	}

	closed := conn.CloseRead(bounded) // reads on, for the pong
	err = conn.Ping(bounded)
	excuse(load, err)
	Expect(err).NotTo(HaveOccurred(), "the pong")
	err = conn.Close(websocket.StatusNormalClosure, "done")
	excuse(load, err)
	Expect(err).NotTo(HaveOccurred(), "closing with 1000")
	select {
	case <-closed.Done():
	case <-bounded.Done():
	}
	excuse(load, bounded.Err())
	Expect(bounded.Err()).NotTo(HaveOccurred(), "the end of the connection")
})

// writeInFragments writes a message by pieces, each of which is a frame.
func writeInFragments(ctx context.Context, conn *websocket.Conn, kind websocket.MessageType, message []byte, size int) error {
	w, err := conn.Writer(ctx, kind)
	if err != nil {
		return fmt.Errorf("begin a message: %w", err)
	}
	for at := 0; at < len(message); at += size {
		if _, err := w.Write(message[at:min(at+size, len(message))]); err != nil {
			return fmt.Errorf("write bytes %d and on of a message: %w", at, err)
		}
	}
	if err := w.Close(); err != nil {
		return fmt.Errorf("end a message: %w", err)
	}
	return nil
}
