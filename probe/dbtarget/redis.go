package dbtarget

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

const (
	writeRedis  = "127.0.0.1:6379, redis://USER:PASSWORD@127.0.0.1:6379/0, rediss://… for TLS, or the path of a unix socket"
	defaultPort = "6379"
)

// Redis is a Redis server.
type Redis struct {
	// Options lead to the server. The caller copies them to change them.
	Options *redis.Options
	host    string
	// addrs is where the host leads; empty for a unix socket.
	addrs []netip.AddrPort
}

// ParseRedis reads HOST:PORT, the path of a unix socket, or a URL of the schemes
// redis, rediss and unix (https://www.iana.org/assignments/uri-schemes/prov/redis).
// The errors are a *MalformedError, an *ElsewhereError and an *UnknownError.
func ParseRedis(address string) (*Redis, error) {
	scheme, _, isURL := strings.Cut(address, "://")
	switch {
	case address == "":
		return nil, &MalformedError{Why: "it is empty", Write: writeRedis}
	case strings.HasPrefix(address, "/"):
		return &Redis{Options: &redis.Options{Network: "unix", Addr: address}}, nil
	case !isURL:
		return tcp(&redis.Options{Network: "tcp"}, address)
	case scheme != "redis" && scheme != "rediss" && scheme != "unix":
		return nil, &MalformedError{Why: "its scheme is none of one Redis server's; clusters and sentinels are not followed to other servers", Write: writeRedis}
	}
	options, err := redis.ParseURL(address)
	if err != nil {
		// The error may hold the password.
		return nil, &MalformedError{Why: "it is no URL of Redis'", Write: writeRedis}
	}
	if options.Network == "unix" {
		return &Redis{Options: options}, nil
	}
	return tcp(options, options.Addr)
}

// tcp has the options lead to an address of this machine.
func tcp(options *redis.Options, address string) (*Redis, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		host, port = strings.Trim(address, "[]"), defaultPort
	}
	if host == "" {
		host = "127.0.0.1"
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 || strings.ContainsAny(host, "/@ ,") {
		return nil, &MalformedError{Why: "it is no HOST:PORT", Write: writeRedis}
	}
	addrs, err := resolve(host)
	if err != nil {
		return nil, err
	}
	r := &Redis{Options: options, host: host}
	for _, addr := range addrs {
		r.addrs = append(r.addrs, netip.AddrPortFrom(addr, uint16(number)))
	}
	options.Addr = r.addrs[0].String()
	return r, nil
}

// Choose has the options lead to the first address of a host with several that does
// not refuse a connection. Where all of them do, or time runs out, nothing changes.
func (r *Redis) Choose(ctx context.Context) {
	if len(r.addrs) < 2 {
		return
	}
	for _, addr := range r.addrs {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr.String())
		if err == nil {
			_ = conn.Close()
			r.Options.Addr = addr.String()
			r.addrs = nil
			return
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
	}
}

// Addr is where it is reached over TCP; not valid for a unix socket.
func (r *Redis) Addr() netip.AddrPort {
	addr, err := netip.ParseAddrPort(r.Options.Addr)
	if err != nil {
		return netip.AddrPort{}
	}
	return addr
}

// String names the server without a password.
func (r *Redis) String() string {
	scheme := "redis:"
	if r.Options.TLSConfig != nil {
		scheme = "rediss:"
	}
	return scheme + r.Options.Addr
}
