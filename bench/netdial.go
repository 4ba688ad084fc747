package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"syscall"
)

const (
	// sourceAddresses is how many addresses of 127.0.0.0/8 connections that close
	// gracefully are made from: each leaves an ephemeral port in TIME_WAIT for a
	// minute (ip-sysctl, ip_local_port_range has 28,232 by default).
	sourceAddresses = 64
	// gracefulListeners is how many ports are served for the same reason where there
	// is one source address alone.
	gracefulListeners = 16
)

// dialer connects to a server as a benchmark asks for.
type dialer struct {
	net.Dialer
	name    string
	network string
	to      []string
	from    []*net.TCPAddr
	dialled int
	tls     *tls.Config
}

func newDialer(s Spec, h hello) *dialer {
	d := &dialer{name: s.Transport, network: network(s.Transport), to: h.Addresses}
	d.Timeout = replyTimeout + lastLook
	if s.Op == CRRGraceful && network(s.Transport) == "tcp4" {
		d.from = sources()
		d.Control = withoutPort
	}
	if h.Certificate != nil {
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(h.Certificate)
		d.tls = &tls.Config{RootCAs: pool, ServerName: loopback.String(), MinVersion: tls.VersionTLS13}
	}
	return d
}

// sources are addresses that connections may come from; none where 127.0.0.1 is
// the only one.
func sources() []*net.TCPAddr {
	var addresses []*net.TCPAddr
	for last := range byte(sourceAddresses) {
		a := netip.AddrFrom4([4]byte{127, 0, 0, last + 1})
		probe, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
		if err != nil {
			return nil
		}
		_ = probe.Close()
		addresses = append(addresses, net.TCPAddrFromAddrPort(netip.AddrPortFrom(a, 0)))
	}
	return addresses
}

// network is what Go's net package calls a transport.
func network(transport string) string {
	switch transport {
	case TCP, HTTP, TLS:
		return "tcp4"
	case UDP:
		return "udp4"
	}
	return transport // tcp6, udp6, unix
}

// listeners is how many ports the server of a benchmark has.
func listeners(s Spec) int {
	if s.Op == CRRGraceful && (s.Transport == TCP6 || runtime.GOOS != "linux") && s.Transport != Unix {
		return gracefulListeners
	}
	return 1
}

func (d *dialer) dial(ctx context.Context) (net.Conn, error) {
	conn, err := d.dialPlain(ctx)
	if err != nil || d.tls == nil {
		return conn, err
	}
	secure := tls.Client(conn, d.tls)
	limited, cancel := context.WithTimeout(ctx, d.Timeout)
	defer cancel()
	if err := secure.HandshakeContext(limited); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("%s client: handshake with %v: %w", d.name, conn.RemoteAddr(), err)
	}
	return secure, nil
}

func (d *dialer) dialPlain(ctx context.Context) (net.Conn, error) {
	to := d.to[d.dialled%len(d.to)]
	if len(d.from) > 0 {
		d.LocalAddr = d.from[d.dialled%len(d.from)]
	}
	d.dialled++
	conn, err := d.DialContext(ctx, d.network, to)
	if err != nil {
		if errors.Is(err, syscall.EADDRNOTAVAIL) && d.dialled > 1 {
			err = fmt.Errorf("no ephemeral port is free, as closed connections keep theirs in TIME_WAIT: widen net.ipv4.ip_local_port_range: %w", err)
		}
		return nil, fmt.Errorf("%s client: %w", d.name, err)
	}
	return conn, nil
}
