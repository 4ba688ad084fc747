package tcp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/probe/sock"
	"github.com/loopcheck/loopcheck/probe/sysctl"
)

const (
	// clsReuseLoopback and clsReuseNever are values of net.ipv4.tcp_tw_reuse.
	clsReuseLoopback = "2"
	clsReuseNever    = "0"
	// clsReuseDelay is net.ipv4.tcp_tw_reuse_delay in the sandbox. The setting
	// came with Linux 6.14; before that it was the rest of the second.
	clsReuseDelay = 100 * time.Millisecond
	// clsWholeSecond is the longest that rest can be, and a little more.
	clsWholeSecond = time.Second + clsTick
	// clsReusePatience bounds how long a port may take to be usable again.
	clsReusePatience = 4 * time.Second
	// clsEphemeral is the one port of the range, clsService where the server
	// listens.
	clsEphemeral, clsService = 40000, 8080
	clsEcho                  = "over a port that was used before"
)

// clsExhausted is what became of connections when the ephemeral range was used
// up.
type clsExhausted struct {
	clsMissing
	// Delay is how long a port in TIME_WAIT must not be used again, 0 where
	// the kernel does not tell.
	Delay time.Duration
	// Full is what a connect gave while the port was in use.
	Full syscall.Errno
	// Held is how long the port was asked for with tcp_tw_reuse=0, TooSoon
	// that it was given.
	Held         time.Duration
	HeldAttempts int
	TooSoon      bool
	// Reused says that the port was given in the end, After how long after the
	// connection's end that was or was given up.
	Reused   bool
	After    time.Duration
	Attempts int
	Echoed   string
}

// clsExhaust uses up a range of one port and looks when it is to be had again.
func clsExhaust(ctx context.Context, reuse string) (seen clsExhausted, err error) {
	ctx, cancel := context.WithTimeout(ctx, clsLongest)
	defer cancel()
	if err := seen.narrow(reuse); err != nil {
		return seen, seen.unless(err)
	}
	addr := sock.IPv4.Loopback(clsService)
	listener, err := clsListen(addr, false)
	if err != nil {
		return seen, err
	}
	defer listener.Close()
	first, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return seen, err
	}
	defer first.Close()
	if err := first.Connect(ctx, addr); err != nil {
		return seen, fmt.Errorf("the first connection from a range of one port: %w", err)
	}
	port, err := first.LocalAddr()
	if err != nil {
		return seen, err
	}
	if want := sock.IPv4.Loopback(clsEphemeral); port != want {
		return seen, fmt.Errorf("the connection is from %v, and the ephemeral range holds %v alone", port, want)
	}
	server, err := listener.Accept(ctx)
	if err != nil {
		return seen, err
	}
	defer server.Close()
	beyond, err := clsAttempt(ctx, addr)
	if err == nil {
		beyond.Close()
	}
	if seen.Full, err = clsErrnoOf(err, syscall.EADDRNOTAVAIL); err != nil {
		return seen, fmt.Errorf("a connection while the only ephemeral port is in use: %w", err)
	}
	ended := time.Now()
	if err := clsEnd(ctx, first, server, port, addr); err != nil {
		return seen, err
	}
	if reuse == clsReuseNever {
		if err := seen.hold(ctx, addr, ended); err != nil || seen.TooSoon {
			return seen, err
		}
		if err := sysctl.Set("net.ipv4.tcp_tw_reuse", clsReuseLoopback); err != nil {
			return seen, err
		}
	}
	return seen, seen.recover(ctx, listener, addr, ended)
}

// narrow makes the ephemeral range of this thread's network namespace one port.
func (seen *clsExhausted) narrow(reuse string) error {
	if err := seen.set("net.ipv4.ip_local_port_range", fmt.Sprintf("%d %d", clsEphemeral, clsEphemeral)); err != nil {
		return err
	}
	if err := seen.set("net.ipv4.tcp_tw_reuse", reuse); err != nil {
		return err
	}
	err := sysctl.Set("net.ipv4.tcp_tw_reuse_delay", strconv.FormatInt(clsReuseDelay.Milliseconds(), 10))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	seen.Delay = clsReuseDelay
	return err
}

// clsAttempt is a connection from a port of the range.
func clsAttempt(ctx context.Context, addr netip.AddrPort) (*sock.Socket, error) {
	s, err := sock.New(sock.TCP, sock.IPv4)
	if err != nil {
		return nil, err
	}
	if err := s.Connect(ctx, addr); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// hold goes on connecting for longer than it takes until a port in TIME_WAIT
// can be used again.
func (seen *clsExhausted) hold(ctx context.Context, addr netip.AddrPort, ended time.Time) error {
	window := seen.Delay
	if window == 0 {
		window = clsWholeSecond
	}
	// TIME_WAIT has begun by now.
	for until := time.Now().Add(window + clsNoReuseWindow); time.Now().Before(until); {
		client, err := clsAttempt(ctx, addr)
		seen.HeldAttempts++
		seen.Held = time.Since(ended)
		if err == nil {
			seen.TooSoon = true
			return client.Close()
		}
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return fmt.Errorf("connection attempt %d from a port in TIME_WAIT: %w", seen.HeldAttempts, err)
		}
		if err := clsPause(ctx); err != nil {
			return err
		}
	}
	return nil
}

// recover goes on connecting until the port is to be had again, and sends over
// the connection.
func (seen *clsExhausted) recover(ctx context.Context, listener *sock.Socket, addr netip.AddrPort, ended time.Time) error {
	for until := time.Now().Add(clsReusePatience); ; {
		client, err := clsAttempt(ctx, addr)
		seen.Attempts++
		seen.After = time.Since(ended)
		if err == nil {
			defer client.Close()
			seen.Reused = true
			seen.Echoed, err = clsSendOver(ctx, client, listener)
			return err
		}
		if !errors.Is(err, syscall.EADDRNOTAVAIL) {
			return fmt.Errorf("connection attempt %d from a port in TIME_WAIT: %w", seen.Attempts, err)
		}
		if time.Now().After(until) {
			return nil
		}
		if err := clsPause(ctx); err != nil {
			return err
		}
	}
}

// clsSendOver sends a text over a connection that waits to be accepted, and
// returns what arrives.
func clsSendOver(ctx context.Context, client, listener *sock.Socket) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	server, err := listener.Accept(ctx)
	if err != nil {
		return "", err
	}
	defer server.Close()
	if _, err := client.Send(ctx, []byte(clsEcho), 0); err != nil {
		return "", err
	}
	buf := make([]byte, 2*len(clsEcho))
	n, err := server.Recv(ctx, buf, 0)
	return string(buf[:n]), err
}
