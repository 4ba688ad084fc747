package containers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/sandbox"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// backlog takes every connection that a plan asks for.
const backlog = 16

func askInside(ctx context.Context, in *sandbox.Inside, p plan) (seen outcome, err error) {
	if err := p.build(ctx, in, &seen); err != nil || seen.Lacks != "" {
		return seen, err
	}
	if seen.WithoutIPv6 != "" {
		p = p.without()
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	for _, s := range p.Services {
		socket, err := s.listen(in)
		if err != nil {
			return seen, err
		}
		go s.serve(ctx, socket)
	}
	for _, x := range p.Proxies {
		listener, err := x.listen(ctx)
		if err != nil {
			return seen, err
		}
		defer listener.Close()
	}
	set, kept := map[string]string{}, flows{}
	defer kept.close()
	for _, ph := range p.Phases {
		if err := ph.enter(ctx, &seen); err != nil || seen.Lacks != "" {
			if err == nil && ph.Optional {
				seen.Lost, seen.Lacks, seen.Found = seen.Found, "", ""
			}
			return seen, err
		}
		for name, value := range ph.Settings {
			set[name] = value
		}
		for _, q := range ph.Questions {
			a, err := q.ask(ctx, in, kept)
			if err != nil {
				return seen, err
			}
			seen.Asked = append(seen.Asked, a)
			if q.seen(a.Reply) != q.Want {
				seen.Why = p.explain(ctx, in, q, set)
				return seen, nil
			}
		}
	}
	return seen, nil
}

// greeting is what a service answers with.
type greeting struct {
	Name string
	Peer netip.AddrPort
}

// listen opens the service's socket in its zone.
func (s service) listen(in *sandbox.Inside) (socket *sock.Socket, err error) {
	err = in.Do(s.Zone, func() error {
		if socket, err = sock.New(s.Protocol, familyOf(s.At.Addr())); err != nil {
			return err
		}
		err := socket.Bind(s.At)
		if s.Protocol == sock.TCP {
			err = errors.Join(err, socket.Listen(backlog))
		}
		if err != nil {
			_ = socket.Close()
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("serve %s %s in %s: %w", s.Protocol, s.At, s.Zone, err)
	}
	return socket, nil
}

// serve answers until the context ends, and closes the socket then. What cannot be
// answered is for the question to find.
func (s service) serve(ctx context.Context, socket *sock.Socket) {
	defer socket.Close()
	text := func(peer netip.AddrPort) []byte {
		name := s.Name
		if name == "" {
			name = s.Zone
		}
		b, _ := json.Marshal(greeting{name, peer}) // strings and addresses always can be
		return b
	}
	buf := make([]byte, 64)
	for {
		if s.Protocol == sock.UDP {
			_, from, err := socket.RecvFrom(ctx, buf, 0)
			if err != nil {
				return
			}
			_, _ = socket.SendTo(ctx, text(from), from, 0)
			continue
		}
		conn, err := socket.Accept(ctx)
		if err != nil {
			return
		}
		if peer, err := conn.PeerAddr(); err == nil {
			_, _ = conn.Send(ctx, text(peer), 0)
		}
		_ = conn.Close()
	}
}

// listen starts the proxy. It runs in the first zone, which is the host's: there
// Go's net package is at home.
func (x proxy) listen(ctx context.Context) (io.Closer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", x.At.String())
	if err != nil {
		return nil, fmt.Errorf("start a proxy: %w", err)
	}
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go x.relay(ctx, conn)
		}
	}()
	return listener, nil
}

// relay carries both directions of a connection. Where the container does not take
// it, it ends, as that of docker-proxy does.
func (x proxy) relay(ctx context.Context, client net.Conn) {
	defer client.Close()
	server, err := new(net.Dialer).DialContext(ctx, "tcp", x.To.String())
	if err != nil {
		return
	}
	defer server.Close()
	defer context.AfterFunc(ctx, func() { server.Close(); client.Close() })()
	go func() { _, _ = io.Copy(server, client) }() // ends with the connections
	_, _ = io.Copy(client, server)
}

// flows are the sockets that questions are asked over again, by name.
type flows map[string]*sock.Socket

func (f flows) close() {
	for _, socket := range f {
		_ = socket.Close() // what was asked over it was answered
	}
}

// ask asks the question in its zone.
func (q question) ask(ctx context.Context, in *sandbox.Inside, kept flows) (a asked, err error) {
	a.Question = q
	err = in.Do(q.From, func() (err error) {
		if q.Shares {
			// The thread ends with the question.
			if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC); err != nil {
				return fmt.Errorf("unshare what is not the network: %w", err)
			}
		}
		socket := kept[q.Flow]
		if socket == nil {
			if socket, err = sock.New(q.Protocol, familyOf(q.To.Addr())); err != nil {
				return err
			}
		}
		if q.Flow == "" {
			defer socket.Close()
			a.Reply, err = q.ofSocket(ctx, socket, false)
			return err
		}
		again := kept[q.Flow] != nil
		kept[q.Flow] = socket
		a.Reply, err = q.ofSocket(ctx, socket, again)
		return err
	})
	return a, err
}

// ofSocket asks the question over a socket, which may be connected already.
func (q question) ofSocket(ctx context.Context, socket *sock.Socket, connected bool) (reply, error) {
	if q.Binds {
		return bindable(socket, q.To)
	}
	waiting, cancel := context.WithTimeout(ctx, q.wait())
	defer cancel()
	var err error
	if !connected {
		err = socket.Connect(waiting, q.To)
	}
	if err == nil && q.Protocol == sock.UDP {
		_, err = socket.Send(waiting, []byte("who are you?"), 0)
	}
	var text []byte
	if err == nil {
		text, err = q.read(waiting, socket)
	}
	switch {
	case ctx.Err() != nil:
		return reply{}, ctx.Err()
	case err != nil:
		return failed(err)
	case len(text) == 0:
		return reply{End: closed}, nil
	}
	var g greeting
	if err := json.Unmarshal(text, &g); err != nil {
		return reply{}, fmt.Errorf("read the answer %q of %s: %w", text, q.To, err)
	}
	return reply{End: answered, By: g.Name, Peer: g.Peer.Addr().Unmap(), Port: g.Peer.Port()}, nil
}

// bindable says whether a program can listen at an address.
func bindable(socket *sock.Socket, at netip.AddrPort) (reply, error) {
	switch err := errors.Join(socket.Bind(at), socket.Listen(backlog)); {
	case errors.Is(err, syscall.EADDRINUSE):
		return reply{End: inUse}, nil
	case err != nil:
		return reply{}, err
	}
	return reply{End: bound}, nil
}

// read reads one datagram, or a stream to its end.
func (q question) read(ctx context.Context, socket *sock.Socket) (text []byte, err error) {
	buf := make([]byte, 512)
	for {
		n, err := socket.Recv(ctx, buf, 0)
		text = append(text, buf[:n]...)
		switch {
		case err != nil && len(text) == 0:
			return nil, err
		case err != nil || n == 0 || q.Protocol == sock.UDP:
			return text, nil
		}
	}
}

// failed is the reply that an error of connect(2), send(2) or recv(2) stands for.
func failed(err error) (reply, error) {
	var errno syscall.Errno
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return reply{End: silent}, nil
	case !errors.As(err, &errno):
		return reply{}, err
	case errno == syscall.ECONNREFUSED:
		return reply{End: refused}, nil
	case errno == syscall.ECONNRESET:
		return reply{End: closed}, nil
	case slices.Contains([]syscall.Errno{syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EINVAL, syscall.EPERM, syscall.EACCES, syscall.EADDRNOTAVAIL}, errno):
		return reply{End: unreachable, Errno: errno.Error()}, nil
	}
	return reply{}, err
}
