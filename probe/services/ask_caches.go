package services

import (
	"context"
	"encoding/binary"
	"io"
	"net/netip"
	"strings"
)

// lineLimitBytes is more than either of these services puts in a line: a Redis in
// protected mode explains itself in more than 1,000.
const lineLimitBytes = 4096

// askRedis sends PING, which Redis answers to whoever may give commands
// (https://redis.io/docs/latest/commands/ping/).
var askRedis = overTCP("PING", greetRedis)

func greetRedis(conn io.ReadWriter) (Openness, string, error) {
	if _, err := io.WriteString(conn, "*1\r\n$4\r\nPING\r\n"); err != nil {
		return "", "", err
	}
	line, err := readLine(conn, lineLimitBytes)
	if err != nil {
		return "", "", err
	}
	return judgeRedis(line)
}

// judgeRedis reads a simple string or an error of RESP
// (https://redis.io/docs/latest/develop/reference/protocol-spec/). Redis looks
// whether a client is known before anything else, so that an error about its
// own state is that of a server which had let the client in.
func judgeRedis(line string) (Openness, string, error) {
	word, _, _ := strings.Cut(line, " ")
	switch word {
	case "+PONG", "-LOADING", "-BUSY", "-MISCONF", "-MASTERDOWN":
		return Open, line, nil
	case "-NOAUTH", "-NOPERM", "-WRONGPASS", "-DENIED":
		return Protected, line, nil
	}
	if line == "-ERR operation not permitted" { // of versions before 2.8
		return Protected, line, nil
	}
	return "", "", errUnexpected
}

// askMemcached sends version. One that speaks the binary protocol alone, as with
// SASL it does, closes the connection after it has read 24 bytes that are no
// header of it; it is asked again in its own protocol, with no-op.
func askMemcached(ctx context.Context, to netip.AddrPort) (Greeting, error) {
	text, err := askMemcachedText(ctx, to)
	if err != nil || text.Openness != Unclear {
		return text, err
	}
	binary, err := askMemcachedBinary(ctx, to)
	if err == nil && binary.Openness != Unclear {
		return binary, nil
	}
	return text, nil // which is an answer, if of another service
}

// memcachedVersion is as long as the binary protocol's header, lest one that
// speaks it wait for more.
const memcachedVersion = "version                 \r\n"

var askMemcachedText = overTCP("version", greetMemcached)

func greetMemcached(conn io.ReadWriter) (Openness, string, error) {
	if _, err := io.WriteString(conn, memcachedVersion); err != nil {
		return "", "", err
	}
	line, err := readLine(conn, lineLimitBytes)
	if err != nil {
		return "", "", err
	}
	return judgeMemcached(line)
}

// judgeMemcached reads an answer of the text protocol (doc/protocol.txt of
// memcached).
func judgeMemcached(line string) (Openness, string, error) {
	switch {
	case strings.HasPrefix(line, "VERSION "):
		return Open, line, nil
	case line == "CLIENT_ERROR unauthenticated":
		return Protected, line, nil
	}
	return "", "", errUnexpected
}

// The binary protocol's fields and numbers
// (https://github.com/memcached/memcached/wiki/BinaryProtocolRevamped).
const (
	memcachedHeaderBytes = 24
	memcachedRequest     = 0x80
	memcachedResponse    = 0x81
	memcachedNoop        = 0x0a
	memcachedSuccess     = 0x0000
	memcachedAuthError   = 0x0020
)

var askMemcachedBinary = overTCP("no-op of the binary protocol", greetMemcachedBinary)

func greetMemcachedBinary(conn io.ReadWriter) (Openness, string, error) {
	request := make([]byte, memcachedHeaderBytes)
	request[0], request[1] = memcachedRequest, memcachedNoop
	if _, err := conn.Write(request); err != nil {
		return "", "", err
	}
	header, err := readBytes(conn, memcachedHeaderBytes)
	if err != nil {
		return "", "", err
	}
	return judgeMemcachedBinary(header)
}

// judgeMemcachedBinary reads the header of an answer.
func judgeMemcachedBinary(header []byte) (Openness, string, error) {
	if len(header) != memcachedHeaderBytes || header[0] != memcachedResponse || header[1] != memcachedNoop {
		return "", "", errUnexpected
	}
	switch binary.BigEndian.Uint16(header[6:]) {
	case memcachedSuccess:
		return Open, "status 0x0000, success", nil
	case memcachedAuthError:
		return Protected, "status 0x0020, authentication error", nil
	}
	return "", "", errUnexpected
}
