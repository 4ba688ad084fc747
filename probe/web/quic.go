package web

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http/httptrace"
	"net/netip"
	"os"
	"strconv"
	"sync"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// newQUIC makes a client of HTTP/3.
func newQUIC(o Options) *Client {
	QuietBuffers()
	transport := &http3.Transport{
		TLSClientConfig:    o.TLS,
		DisableCompression: !o.Gzip,
		Dial:               dialQUIC,
	}
	return &Client{transport: transport, close: transport.Close}
}

// QuietBuffers keeps quic-go from writing to standard error that its socket buffers
// are smaller than it wants, which standard error is not for: a check tells of it.
var QuietBuffers = sync.OnceFunc(func() {
	_ = os.Setenv("QUIC_GO_DISABLE_RECEIVE_BUFFER_WARNING", "true") // fails for malformed names alone
})

// dialQUIC makes a QUIC connection to an address of this machine, over a socket of
// its own that ends with it.
func dialQUIC(ctx context.Context, address string, secure *tls.Config, config *quic.Config) (*quic.Conn, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, err
	}
	addrs, err := resolveTraced(ctx, host)
	if err != nil {
		return nil, err
	}
	var failed error
	for _, addr := range addrs {
		conn, err := dialQUICAt(ctx, netip.AddrPortFrom(addr, uint16(port)), secure, config)
		if err == nil {
			return conn, nil
		}
		failed = errors.Join(failed, err)
	}
	return nil, failed
}

func dialQUICAt(ctx context.Context, to netip.AddrPort, secure *tls.Config, config *quic.Config) (*quic.Conn, error) {
	if err := mustOwn(to.Addr()); err != nil {
		return nil, err
	}
	network := "udp4"
	if to.Addr().Is6() {
		network = "udp6"
	}
	socket, err := net.ListenUDP(network, nil)
	if err != nil {
		return nil, err
	}
	transport := &quic.Transport{Conn: socket}
	end := func() error { return errors.Join(transport.Close(), socket.Close()) }
	trace := httptrace.ContextClientTrace(ctx)
	if trace != nil && trace.TLSHandshakeStart != nil {
		trace.TLSHandshakeStart()
	}
	conn, err := transport.Dial(ctx, net.UDPAddrFromAddrPort(to), secure, config)
	if err != nil {
		return nil, errors.Join(err, end())
	}
	if trace != nil && trace.TLSHandshakeDone != nil {
		trace.TLSHandshakeDone(conn.ConnectionState().TLS, nil)
	}
	context.AfterFunc(conn.Context(), func() { _ = end() })
	return conn, nil
}
