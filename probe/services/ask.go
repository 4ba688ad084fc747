package services

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/loopcheck/loopcheck/probe/iface"
)

const (
	// answerTimeout bounds a greeting as a whole. A service of the same machine
	// answers within milliseconds; those that look up the name of their client
	// first may need a DNS server's second.
	answerTimeout = 2 * time.Second
	// seenRunes is how much of an answer is shown.
	seenRunes = 120
)

// NotLocalError says that an address is not the machine's own, for which reason
// nothing was sent to it.
type NotLocalError struct{ Addr netip.Addr }

func (e *NotLocalError) Error() string {
	return fmt.Sprintf("%s is not an address of this machine: nothing was sent to it", e.Addr)
}

// CanAsk says whether a harmless greeting of the service is known, with which it
// tells whether it answers strangers.
func (s Service) CanAsk() bool { return s.ask != nil }

// Ask greets the service over TCP at an address of this machine and judges
// whether it answered without authentication. What is sent reads at most the
// names of databases, changes nothing, and offers no password but an empty one.
//
// The error is for what is no answer: nobody listens there, nothing came within
// 2 s or before the context ended (it wraps context.DeadlineExceeded or
// context.Canceled). It is a *NotLocalError for an address that is not the
// machine's own, and wraps errors.ErrUnsupported for a service that CanAsk denies.
func (s Service) Ask(ctx context.Context, to netip.AddrPort) (Greeting, error) {
	if !s.CanAsk() {
		return Greeting{}, fmt.Errorf("no harmless greeting of %s is known: %w", s.Name, errors.ErrUnsupported)
	}
	to = netip.AddrPortFrom(to.Addr().Unmap(), to.Port())
	own, _, err := iface.Owns(to.Addr())
	if err != nil {
		return Greeting{}, fmt.Errorf("find out whether %s is an address of this machine: %w", to.Addr(), err)
	}
	if !own {
		return Greeting{}, &NotLocalError{to.Addr()}
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return s.ask(ctx, to)
}

// dialogue greets a service over a connection and judges its answer. An error
// says that what was read is not of that service.
type dialogue func(conn io.ReadWriter) (Openness, string, error)

// errUnexpected is the error of a dialogue that has read something else.
var errUnexpected = errors.New("not an answer of this service")

// overTCP asks in a connection of its own.
func overTCP(asked string, talk dialogue) asker {
	return func(ctx context.Context, to netip.AddrPort) (Greeting, error) {
		conn, err := connect(ctx, to)
		if err != nil {
			return Greeting{}, err
		}
		defer conn.Close()
		// Read by the buffer, so that the transcript holds more of what is no
		// answer than the few bytes that told so.
		openness, seen, err := talk(struct {
			io.Reader
			io.Writer
		}{bufio.NewReader(conn), conn})
		if err == nil {
			return Greeting{openness, asked, short(seen)}, nil
		}
		return conn.heard.greeting(ctx, asked, to)
	}
}

// connection ends with its context and remembers how the answer began.
type connection struct {
	net.Conn
	heard *transcript
	stop  func() bool
}

func connect(ctx context.Context, to netip.AddrPort) (*connection, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", to.String())
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to, err)
	}
	past := time.Unix(1, 0)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(past) })
	return &connection{Conn: conn, heard: &transcript{}, stop: stop}, nil
}

func (c *connection) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.heard.add(p[:n])
	return n, err
}

func (c *connection) Close() error {
	c.stop()
	return c.Conn.Close()
}

// transcript is the beginning of what a service sent. Package http reads on
// while its caller has given up.
type transcript struct {
	mu    sync.Mutex
	bytes []byte
}

func (t *transcript) add(p []byte) {
	const enough = 4 * seenRunes // of UTF-8
	t.mu.Lock()
	defer t.mu.Unlock()
	t.bytes = append(t.bytes, p[:min(len(p), enough-len(t.bytes))]...)
}

// greeting is what is left to say when no answer of the service was read: an
// error where the time ran out, or what was seen instead.
func (t *transcript) greeting(ctx context.Context, asked string, to netip.AddrPort) (Greeting, error) {
	if err := ctx.Err(); err != nil {
		return Greeting{}, fmt.Errorf("await the answer of %s to %s: %w", to, asked, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	seen := short(string(t.bytes))
	if len(t.bytes) == 0 {
		seen = "the connection was closed without an answer"
	}
	return Greeting{Unclear, asked, seen}, nil
}

// short makes a text from the network fit to be shown: on one line, without
// control or formatting characters, at most seenRunes long.
func short(text string) string {
	shown := strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case r == unicode.ReplacementChar || !unicode.IsPrint(r):
			return '.'
		}
		return r
	}, text)
	runes := []rune(strings.Join(strings.Fields(shown), " "))
	if len(runes) > seenRunes {
		return string(runes[:seenRunes-1]) + "…"
	}
	return string(runes)
}

// readLine reads up to a line feed and returns what stands before it, without a
// carriage return. It is an error when none comes within limit bytes.
func readLine(r io.Reader, limit int64) (string, error) {
	line, err := bufio.NewReader(io.LimitReader(r, limit)).ReadBytes('\n')
	if err != nil {
		return "", errUnexpected
	}
	return string(bytes.TrimRight(line, "\r\n")), nil
}

// readBytes reads that many bytes.
func readBytes(r io.Reader, count int) ([]byte, error) {
	p := make([]byte, count)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, fmt.Errorf("read %d bytes: %w", count, err)
	}
	return p, nil
}
