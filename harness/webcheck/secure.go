package webcheck

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/harness/check"
	"github.com/loopcheck/loopcheck/harness/report"
	"github.com/loopcheck/loopcheck/probe/web"
)

// soon is how long before its end a certificate is worth a word.
const soon = 14 * 24 * time.Hour

// needTLS is what the checks of TLS take.
var needTLS = check.Need{Name: "a URL of https", How: "name one, where the server has TLS"}

// triedVersion bounds a question in a version that the server may not speak, which
// some meet with silence.
const triedVersion = 2 * time.Second

func speaks(ctx context.Context, i *inspector, c *report.Check) {
	i.versions = append(i.versions, i.page.Version)
	if i.version != web.HTTP2 {
		i.speaksHTTP2(ctx, c)
	}
	if port, offered := i.offersHTTP3(); offered {
		there := *i.url
		there.Host = net.JoinHostPort(i.url.Hostname(), port)
		err := i.answersIn(ctx, web.HTTP3, &there, i.Timeout)
		if err != nil {
			c.Break(check.Fail, fmt.Sprintf("it offers HTTP/3 on port %s (Alt-Svc: %s), which does not answer: %s", port, i.page.Header.Get("Alt-Svc"), i.saw(err)))
		} else {
			i.versions = append(i.versions, web.HTTP3)
		}
	}
	names := make([]string, len(i.versions))
	for n, v := range i.versions {
		names[n] = string(v)
	}
	c.Note("versions", "%s", strings.Join(names, ", "))
}

// speaksHTTP2 asks for the page over HTTP/2. With TLS a server that agrees on it has to
// speak it; without, nothing says beforehand whether it does.
func (i *inspector) speaksHTTP2(ctx context.Context, c *report.Check) {
	limit := min(triedVersion, i.Timeout)
	if i.secure() {
		agreed, err := i.agreesOn(ctx, alpnHTTP2, "http/1.1")
		if err != nil {
			c.Break(check.Fail, fmt.Sprintf("a handshake that offers HTTP/2 and HTTP/1.1 by ALPN, as browsers make it: %v", cause(err)))
			return
		}
		if agreed != alpnHTTP2 {
			return
		}
		limit = i.Timeout
	}
	err := i.answersIn(ctx, web.HTTP2, i.url, limit)
	switch {
	case err == nil:
		i.versions = append(i.versions, web.HTTP2)
	case i.secure():
		c.Break(check.Fail, "it agrees on HTTP/2 by ALPN, and does not speak it: "+i.saw(err))
	}
}

// alpnHTTP2 is HTTP/2 over TLS (RFC 9113 3.2).
const alpnHTTP2 = "h2"

// agreesOn is the protocol that the server chooses of those that are offered by ALPN
// (RFC 7301), empty where it does not know ALPN.
func (i *inspector) agreesOn(ctx context.Context, offered ...string) (string, error) {
	config := unverified()
	config.NextProtos = offered
	conn, err := i.handshake(ctx, config)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	return conn.ConnectionState().NegotiatedProtocol, nil
}

// http3 is an alternative in Alt-Svc (RFC 7838 3): that of HTTP/3 on the same host.
var http3 = regexp.MustCompile(`(?:^|[,\s])h3=":(\d+)"`)

// offersHTTP3 returns the port on which the server says that it speaks HTTP/3.
func (i *inspector) offersHTTP3() (port string, offered bool) {
	match := http3.FindStringSubmatch(strings.Join(i.page.Header.Values("Alt-Svc"), ", "))
	if match == nil || !i.secure() {
		return "", false
	}
	return match[1], true
}

func (i *inspector) answersIn(ctx context.Context, version web.Version, u *url.URL, limit time.Duration) error {
	client, err := web.New(web.Options{Version: version, TLS: unverified()})
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	response, err := i.askFor(ctx, client, http.MethodGet, u)
	if err == nil && response.Version != version {
		return fmt.Errorf("it answered in %s", response.Version)
	}
	return err
}

// handshake opens a connection to the server and makes one of TLS over it.
func (i *inspector) handshake(ctx context.Context, config *tls.Config) (*tls.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, i.Timeout)
	defer cancel()
	conn, err := i.dial(ctx)
	if err != nil {
		return nil, err
	}
	config.ServerName = i.url.Hostname()
	secured := tls.Client(conn, config)
	if err := secured.HandshakeContext(ctx); err != nil {
		_ = conn.Close()
		return nil, err
	}
	return secured, nil
}

func tlsVersions(ctx context.Context, i *inspector, c *report.Check) {
	if !i.secure() {
		c.SkipFor(needTLS, "the URL is of http")
		return
	}
	speaks := map[uint16]bool{}
	for version := uint16(tls.VersionTLS10); version <= tls.VersionTLS13; version++ {
		err := i.handshakeIn(ctx, version)
		speaks[version] = err == nil
		seen := "spoken"
		if err != nil {
			seen = err.Error()
		}
		c.Note(tls.VersionName(version), "%s", seen)
	}
	var wrong []string
	for _, old := range []uint16{tls.VersionTLS10, tls.VersionTLS11} {
		if speaks[old] {
			wrong = append(wrong, "  it speaks "+tls.VersionName(old))
		}
	}
	if !speaks[tls.VersionTLS13] {
		wrong = append(wrong, "  it does not speak "+tls.VersionName(tls.VersionTLS13))
	}
	if len(wrong) > 0 {
		c.Break(check.Warn, "versions of TLS:", wrong...)
	}
}

func (i *inspector) handshakeIn(ctx context.Context, version uint16) error {
	config := unverified()
	config.MinVersion, config.MaxVersion = version, version
	conn, err := i.handshake(ctx, config)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func certificate(_ context.Context, i *inspector, c *report.Check) {
	switch {
	case !i.secure():
		c.SkipFor(needTLS, "the URL is of http")
		return
	case i.Insecure:
		c.SkipFor(check.Need{Name: "leave to judge the certificate", How: "leave out --insecure, and give the authority with --ca FILE"}, "--insecure was given")
		return
	}
	chain := i.page.TLS.PeerCertificates
	c.Note("certificate", "for %s, by %s, until %s", strings.Join(namesOf(chain[0]), ", "), chain[0].Issuer, chain[0].NotAfter.UTC().Format(time.RFC3339))
	between := x509.NewCertPool()
	for _, one := range chain[1:] {
		between.AddCert(one)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: i.url.Hostname(), Roots: i.Roots, Intermediates: between}); err != nil {
		c.Break(check.Fail, err.Error())
	}
}

// namesOf are whom a certificate is for.
func namesOf(c *x509.Certificate) []string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	if len(names) == 0 {
		names = append(names, "nobody")
	}
	return names
}

func expiry(_ context.Context, i *inspector, c *report.Check) {
	if !i.secure() {
		c.SkipFor(needTLS, "the URL is of http")
		return
	}
	var ending []string
	for _, one := range i.page.TLS.PeerCertificates {
		left := one.NotAfter.Sub(i.started)
		c.Note(one.Subject.String(), "until %s", one.NotAfter.UTC().Format(time.RFC3339))
		switch {
		case left < 0:
			ending = append(ending, fmt.Sprintf("  %s ended on %s", one.Subject, one.NotAfter.UTC().Format(time.DateOnly)))
		case left < soon:
			ending = append(ending, fmt.Sprintf("  %s ends in %d days, on %s", one.Subject, int(left/(24*time.Hour)), one.NotAfter.UTC().Format(time.DateOnly)))
		}
	}
	if len(ending) > 0 {
		c.Break(check.Warn, "certificates that end soon:", ending...)
	}
}
