package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"time"
)

// ServiceCommand is the subcommand of the binary that Service is behind.
const ServiceCommand = "container-service"

const (
	// serviceLifetime ends a service whose input does not: an engine that was
	// killed as well may keep it open.
	serviceLifetime = 5 * time.Minute
	// dialTimeout is how long nothing may come back for what is asked to count as
	// lost. The way leads through the machine alone, and perhaps through a proxy. A
	// SYN that a busy machine lost is sent again after 1 s (RFC 6298 2.1).
	dialTimeout = 3 * time.Second
	// greetingBytes is more than a greeting takes.
	greetingBytes = 512
)

// Address is where a service listens, or is asked.
type Address struct {
	// UDP says that it is one of UDP, and not of TCP.
	UDP bool `json:"udp,omitempty"`
	// Host is an address or a name; "" stands for all of the machine's own.
	Host string `json:"host,omitempty"`
	Port uint16 `json:"port"`
}

// At is the address of TCP.
func At(a netip.AddrPort) Address { return Address{Host: a.Addr().String(), Port: a.Port()} }

// String is as in "tcp://127.0.0.1:80".
func (a Address) String() string { return a.network() + "://" + a.join() }

func (a Address) network() string {
	if a.UDP {
		return "udp"
	}
	return "tcp"
}

func (a Address) join() string { return net.JoinHostPort(a.Host, fmt.Sprint(a.Port)) }

// ParseAddress reads what String wrote.
func ParseAddress(text string) (Address, error) {
	network, rest, found := strings.Cut(text, "://")
	host, port, err := net.SplitHostPort(rest)
	if !found || err != nil || network != "tcp" && network != "udp" {
		return Address{}, fmt.Errorf("%q is no address: write one such as tcp://127.0.0.1:80", text)
	}
	number, err := net.LookupPort(network, port)
	if err != nil {
		return Address{}, fmt.Errorf("%q is no address: %w", text, err)
	}
	return Address{UDP: network == "udp", Host: host, Port: uint16(number)}, nil
}

// Outcome is what becomes of a request.
type Outcome string

const (
	Answered Outcome = "answered"
	Refused  Outcome = "refused"
	Closed   Outcome = "taken and closed" // without a byte
	Silent   Outcome = "silence"
	Failed   Outcome = "failed" // for another reason, which Answer.Failed says
)

// Answer is what became of a request.
type Answer struct {
	Outcome Outcome `json:"outcome"`
	// By is the name of the service that answered, and Peer whom it saw.
	By   string         `json:"by,omitempty"`
	Peer netip.AddrPort `json:"peer,omitzero"`
	// Failed is an error that none of the outcomes stands for.
	Failed string `json:"failed,omitempty"`
	// Listens is in a service's first answer alone: where it listens.
	Listens []Address `json:"listens,omitempty"`
}

func (a Answer) String() string {
	text := string(a.Outcome)
	if a.By != "" {
		text += fmt.Sprintf(" by %s, which is asked from %s", a.By, a.Peer.Addr())
	}
	if a.Failed != "" {
		text += ": " + a.Failed
	}
	return text
}

// greeting is what a service answers with.
type greeting struct {
	Name string         `json:"name"`
	Peer netip.AddrPort `json:"peer"`
}

// order is what a container is told, a JSON document each.
type order struct {
	Dial Address `json:"dial"`
}

// Service listens at the addresses, answers whoever asks there with its name, and
// does what it reads from the input until that ends. It writes an answer when it
// listens, and one for each order.
func Service(ctx context.Context, name string, listen []Address, input io.Reader, output io.Writer) error {
	ctx, cancel := context.WithTimeout(ctx, serviceLifetime)
	defer cancel()
	encoder := json.NewEncoder(output)
	var ready Answer
	for _, a := range listen {
		listener, err := Listen(ctx, name, a)
		if err != nil {
			return errors.Join(err, encoder.Encode(Answer{Failed: err.Error()}))
		}
		defer listener.Close()
		ready.Listens = append(ready.Listens, listener.At)
	}
	if err := encoder.Encode(ready); err != nil {
		return err
	}
	orders := make(chan order)
	go func() {
		defer close(orders)
		for decoder := json.NewDecoder(input); ; {
			var o order
			if decoder.Decode(&o) != nil {
				return
			}
			select {
			case orders <- o:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case o, more := <-orders:
			if !more {
				return nil
			}
			if err := encoder.Encode(Ask(ctx, o.Dial)); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Listener is a service that answers with a name.
type Listener struct {
	io.Closer
	// At is where it listens, with the port that port 0 came to.
	At Address
}

// Listen answers whoever asks at an address, with a name, until it is closed.
func Listen(ctx context.Context, name string, at Address) (*Listener, error) {
	if at.UDP {
		conn, err := new(net.ListenConfig).ListenPacket(ctx, "udp", at.join())
		if err != nil {
			return nil, fmt.Errorf("listen at %s: %w", at, err)
		}
		at.Port = uint16(conn.LocalAddr().(*net.UDPAddr).Port)
		go answerDatagrams(conn, name)
		return &Listener{conn, at}, nil
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", at.join())
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", at, err)
	}
	at.Port = uint16(listener.Addr().(*net.TCPAddr).Port)
	go answerConnections(listener, name)
	return &Listener{listener, at}, nil
}

func answerConnections(listener net.Listener, name string) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		// A client that does not take it has gone.
		_, _ = conn.Write(greet(name, conn.RemoteAddr()))
		_ = conn.Close()
	}
}

func answerDatagrams(conn net.PacketConn, name string) {
	buf := make([]byte, greetingBytes)
	for {
		_, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		_, _ = conn.WriteTo(greet(name, from), from)
	}
}

func greet(name string, peer net.Addr) []byte {
	at, _ := netip.ParseAddrPort(peer.String())
	b, _ := json.Marshal(greeting{name, netip.AddrPortFrom(at.Addr().Unmap(), at.Port())}) // which always can be
	return b
}

// Ask asks the service at an address who it is.
func Ask(ctx context.Context, to Address) Answer {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, to.network(), to.join())
	if err != nil {
		return failed(err)
	}
	defer conn.Close()
	if deadline, has := ctx.Deadline(); has {
		_ = conn.SetDeadline(deadline)
	}
	if to.UDP {
		if _, err := conn.Write([]byte("who are you?")); err != nil {
			return failed(err)
		}
	}
	text, err := readGreeting(conn, to.UDP)
	if len(text) == 0 && err != nil {
		return failed(err)
	}
	if len(text) == 0 {
		return Answer{Outcome: Closed}
	}
	return parseGreeting(text)
}

// readGreeting reads one datagram, or a stream to its end.
func readGreeting(conn net.Conn, datagram bool) ([]byte, error) {
	if !datagram {
		return io.ReadAll(io.LimitReader(conn, greetingBytes))
	}
	buf := make([]byte, greetingBytes)
	n, err := conn.Read(buf)
	return buf[:n], err
}

// parseGreeting reads what came, which may be anything where another program
// listens.
func parseGreeting(text []byte) Answer {
	var g greeting
	if err := json.Unmarshal(text, &g); err != nil || g.Name == "" {
		return Answer{Outcome: Failed, Failed: fmt.Sprintf("somebody else answers: %q", text)}
	}
	return Answer{Outcome: Answered, By: g.Name, Peer: g.Peer}
}

// failed is the answer that an error stands for.
func failed(err error) Answer {
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Answer{Outcome: Silent}
	case errors.Is(err, syscall.ECONNREFUSED):
		return Answer{Outcome: Refused}
	case errors.Is(err, syscall.ECONNRESET):
		return Answer{Outcome: Closed}
	}
	return Answer{Outcome: Failed, Failed: err.Error()}
}
