// Package web answers what a web server on this machine says to a request, and how
// long each step of it took: the name, the connection, TLS, the first byte, the
// whole. It speaks HTTP/1.1, HTTP/2 and HTTP/3.
//
// A Client uses no proxy, whatever the environment says, asks no name server, and
// connects to addresses of this machine alone.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// Version is a version of HTTP.
type Version string

const (
	// Any is HTTP/2 where a server of TLS offers it, and otherwise HTTP/1.1.
	Any   Version = ""
	HTTP1 Version = "HTTP/1.1"
	// HTTP2 is agreed on by ALPN over TLS, and without TLS begun with prior
	// knowledge (RFC 9113 3.2, 3.3).
	HTTP2 Version = "HTTP/2.0"
	// HTTP3 is over QUIC, whose URLs are https alone (RFC 9114).
	HTTP3 Version = "HTTP/3.0"
)

// Options are how a client asks.
type Options struct {
	Version Version
	// TLS holds the authorities to trust, and versions; nil is what Go trusts and
	// speaks. The client has a copy of its own.
	TLS *tls.Config
	// Connections bounds those to one server at a time; 0 is as many as it takes.
	Connections int
	// Fresh asks each request over a connection of its own, which ends with it. HTTP/3
	// has no such client.
	Fresh bool
	// Gzip asks for compressed bodies, which are handed on decompressed.
	Gzip bool
	// ContinueTimeout is how long a request that expects 100 (Continue) waits for it
	// before its body is sent all the same (RFC 9110 10.1.1). 0 does not wait.
	ContinueTimeout time.Duration
}

// Client asks web servers. Close it, or its idle connections stay. It may be used by
// many goroutines at once.
type Client struct {
	transport http.RoundTripper
	close     func() error
}

// New makes a client. The error is for options that do not go together, or that are
// unknown.
func New(o Options) (*Client, error) {
	if o.TLS == nil {
		o.TLS = &tls.Config{}
	}
	o.TLS = o.TLS.Clone()
	if o.Version == HTTP3 {
		if o.Fresh {
			return nil, errors.New("requests of HTTP/3 share a connection: make a client for each that needs one of its own")
		}
		return newQUIC(o), nil
	}
	var protocols http.Protocols
	switch o.Version {
	case HTTP1:
		protocols.SetHTTP1(true)
	case HTTP2:
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(true)
	case Any:
		protocols.SetHTTP1(true)
		protocols.SetHTTP2(true)
	default:
		return nil, fmt.Errorf("%q is none of the versions %s, %s and %s", string(o.Version), HTTP1, HTTP2, HTTP3)
	}
	transport := &http.Transport{
		Proxy:                 nil,
		DialContext:           dial,
		TLSClientConfig:       o.TLS,
		Protocols:             &protocols,
		DisableCompression:    !o.Gzip,
		DisableKeepAlives:     o.Fresh,
		MaxConnsPerHost:       o.Connections,
		MaxIdleConns:          0, // those of a host bound it
		MaxIdleConnsPerHost:   max(o.Connections, defaultIdle),
		ExpectContinueTimeout: o.ContinueTimeout,
	}
	return &Client{transport: transport, close: func() error {
		transport.CloseIdleConnections()
		return nil
	}}, nil
}

// defaultIdle is how many idle connections to one server are kept where nothing
// bounds how many there are.
const defaultIdle = 64

// Close ends the client's idle connections.
func (c *Client) Close() error { return c.close() }

// Stream asks and returns as soon as the header of the response is there. The caller
// reads and closes the body, which ends with the context. Redirections are not
// followed.
func (c *Client) Stream(ctx context.Context, r *http.Request) (*http.Response, error) {
	response, _, err := c.begin(ctx, r)
	return response, err
}

// Get is Ask for a GET of a URL.
func (c *Client) Get(ctx context.Context, url string) (*Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	return c.Ask(ctx, r)
}

// DialContext is how a client connects over TCP, for others that have a connection to
// a web server: it asks no name server and connects to addresses of this machine
// alone.
func DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	return dial(ctx, network, address)
}
