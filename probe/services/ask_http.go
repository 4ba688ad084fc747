package services

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// bodyLimitBytes is how much of an answer's body is read.
const bodyLimitBytes = 1 << 20

// question is a request over HTTP that reads and changes nothing.
type question struct {
	method, path, body string
	judge              func(answer) (Openness, string, error)
}

func (q question) String() string { return q.method + " " + q.path }

// answer is what came back, its body cut at bodyLimitBytes.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// refuses says that the answer asks who is there, or refuses strangers.
func (a answer) refuses() bool {
	return a.status == http.StatusUnauthorized || a.status == http.StatusForbidden
}

// line is the answer in short.
func (a answer) line() string {
	line := fmt.Sprintf("%d %s", a.status, http.StatusText(a.status))
	if challenge := a.header.Get("WWW-Authenticate"); challenge != "" {
		return line + ", WWW-Authenticate: " + challenge
	}
	if location := a.header.Get("Location"); location != "" {
		return line + ", Location: " + location
	}
	return line + ": " + string(a.body[:min(len(a.body), 4*seenRunes)])
}

// overHTTP asks in plain text, and over TLS where no answer came or the server
// did not understand, which is how those that speak TLS take plain text.
func overHTTP(q question) asker {
	return func(ctx context.Context, to netip.AddrPort) (Greeting, error) {
		plain, status, err := q.put(ctx, to, nil)
		if err != nil || plain.Openness != Unclear || status != 0 && status != http.StatusBadRequest {
			return plain, err
		}
		shake := &handshake{}
		secure, status, err := q.put(ctx, to, shake)
		switch {
		case err != nil:
			return plain, nil // which is an answer, if of another service
		case status != 0:
			return secure, nil
		case shake.wantsCertificate:
			return Greeting{Protected, secure.Asked, "the server asks for a client's certificate"}, nil
		}
		return plain, nil
	}
}

// handshake is what was learnt in one of TLS.
type handshake struct {
	wantsCertificate bool
}

// put asks once, in a connection of its own, over TLS where a handshake is given.
// The status is 0 where no answer of HTTP came. The error is for a connection
// that failed or a time that ran out.
func (q question) put(ctx context.Context, to netip.AddrPort, shake *handshake) (greeting Greeting, status int, err error) {
	asked := q.String()
	if shake != nil {
		asked += " over TLS"
	}
	conn, err := connect(ctx, to)
	if err != nil {
		return Greeting{}, 0, err
	}
	defer conn.Close()
	got, err := q.fetch(ctx, to, conn, shake)
	if err != nil {
		greeting, err = conn.heard.greeting(ctx, asked, to)
		return greeting, 0, err
	}
	openness, seen, err := q.judge(got)
	if err != nil {
		openness, seen = Unclear, got.line()
	}
	return Greeting{openness, asked, short(seen)}, got.status, nil
}

func (q question) fetch(ctx context.Context, to netip.AddrPort, conn net.Conn, shake *handshake) (answer, error) {
	scheme := "http"
	if shake != nil {
		scheme = "https"
	}
	// The name is the one that servers which look at it take for their own, as
	// whoever asks them could say too; the connection stands already.
	url := fmt.Sprintf("%s://localhost:%d%s", scheme, to.Port(), q.path)
	request, err := http.NewRequestWithContext(ctx, q.method, url, strings.NewReader(q.body))
	if err != nil {
		return answer{}, fmt.Errorf("put the request %s: %w", q, err)
	}
	request.Header.Set("User-Agent", "loopcheck")
	if q.body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	given := func(context.Context, string, string) (net.Conn, error) { return conn, nil }
	transport := &http.Transport{
		Proxy:                  nil, // nothing of what is asked here may leave the machine
		DialContext:            given,
		DisableKeepAlives:      true,
		DisableCompression:     true, // what is bounded is what is read
		MaxResponseHeaderBytes: 64 << 10,
	}
	if shake != nil {
		transport.DialTLSContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return shake.with(ctx, conn)
		}
	}
	defer transport.CloseIdleConnections()
	response, err := transport.RoundTrip(request) // which follows no redirect
	if err != nil {
		return answer{}, fmt.Errorf("ask %s: %w", q, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, bodyLimitBytes))
	if err != nil && ctx.Err() != nil {
		return answer{}, fmt.Errorf("read the answer to %s: %w", q, err)
	}
	return answer{response.StatusCode, response.Header, body}, nil
}

// with shakes hands. Whose certificate the server shows does not matter: the
// connection does not leave the machine, and nothing secret is sent.
func (h *handshake) with(ctx context.Context, conn net.Conn) (net.Conn, error) {
	client := tls.Client(conn, &tls.Config{
		ServerName:         "localhost",
		InsecureSkipVerify: true,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			h.wantsCertificate = true
			return &tls.Certificate{}, nil
		},
	})
	if err := client.HandshakeContext(ctx); err != nil {
		return nil, fmt.Errorf("shake hands: %w", err)
	}
	return client, nil
}
