package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"strconv"
	"syscall"
	"time"

	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/listeners"
)

// Port is where people look for a server of loopcheck's.
const Port = 62893

// PortTakenError says that somebody has the port.
type PortTakenError struct {
	At netip.AddrPort
	// Holder is who, as far as can be seen, such as "node (pid 812, user bob)".
	Holder string
}

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("port %d of %s is taken by %s", e.At.Port(), e.At.Addr(), e.Holder)
}

// PrivilegeError says that an ordinary user may not have the port
// (net.ipv4.ip_unprivileged_port_start in ip-sysctl).
type PrivilegeError struct{ At netip.AddrPort }

func (e *PrivilegeError) Error() string {
	return fmt.Sprintf("port %d is kept for root or CAP_NET_BIND_SERVICE", e.At.Port())
}

// freeTries bounds the search for a port that is free on every address.
const freeTries = 16

// Listen begins to listen; Serve answers. The error is a *PortTakenError where
// somebody has the port, and a *PrivilegeError where it may not be had.
func (s *Server) Listen(ctx context.Context) error {
	for _, l := range s.options.Inherited {
		tcp, ok := l.(*net.TCPListener)
		if !ok {
			return fmt.Errorf("listener %s that was passed on: it is of %s, and HTTP is served over TCP", l.Addr(), l.Addr().Network())
		}
		s.listeners = append(s.listeners, newLimited(tcp, s.pool))
	}
	var err error
	if len(s.listeners) == 0 {
		err = s.bind(ctx)
	}
	for _, l := range s.listeners {
		if err == nil && s.options.Token == "" && !addressOf(l).Addr().IsLoopback() {
			err = fmt.Errorf("listen on %s: other machines can reach it, and there is no token", l.Addr())
		}
	}
	if err == nil && s.options.TLS {
		s.authority, err = newAuthority(s.options.Hosts, s.addresses())
	}
	if err != nil {
		s.close()
	}
	return err
}

func (s *Server) bind(ctx context.Context) error {
	for try := 1; ; try++ {
		err := s.bindAll(ctx)
		taken, isTaken := errors.AsType[*PortTakenError](err)
		if !isTaken {
			return err
		}
		if s.options.Port != 0 || try == freeTries {
			taken.Holder = holder(ctx, taken.At)
			return taken
		}
	}
}

// bindAll binds the port on every address, or none.
func (s *Server) bindAll(ctx context.Context) error {
	port := s.options.Port
	for _, addr := range s.options.Addresses {
		l, err := bind(ctx, netip.AddrPortFrom(addr, port))
		if err != nil {
			for _, l := range s.listeners {
				_ = l.Close()
			}
			s.listeners = nil
			return err
		}
		s.listeners = append(s.listeners, newLimited(l, s.pool))
		port = addressOf(l).Port()
	}
	return nil
}

func bind(ctx context.Context, at netip.AddrPort) (*net.TCPListener, error) {
	network := "tcp"
	switch {
	case at.Addr().Is4():
		network = "tcp4"
	case !at.Addr().IsUnspecified():
		network = "tcp6"
	}
	var config net.ListenConfig
	config.SetMultipathTCP(false) // Go's default is a listener of another protocol
	l, err := config.Listen(ctx, network, at.String())
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, &PortTakenError{At: at}
	case errors.Is(err, fs.ErrPermission):
		return nil, &PrivilegeError{at}
	case err != nil:
		return nil, fmt.Errorf("listen on %s: %w", at, err)
	}
	return l.(*net.TCPListener), nil
}

func addressOf(l net.Listener) netip.AddrPort {
	at := l.Addr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
}

// lookTime is how long it may take to find who has a port.
const lookTime = 2 * time.Second

// holder names who listens at an address.
func holder(ctx context.Context, at netip.AddrPort) string {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	list, err := listeners.Read(ctx)
	if err != nil {
		return "another program"
	}
	for _, l := range list.Listeners {
		if l.Protocol != "tcp" || l.Port != at.Port() {
			continue
		}
		same := l.Address == at.Addr() || l.Address.IsUnspecified() || at.Addr().IsUnspecified()
		switch {
		case !same:
		case len(l.Owners) == 0 && l.User != "":
			return fmt.Sprintf("a process of user %s (%s)", l.User, l.Unowned)
		case len(l.Owners) == 0:
			return "a process that is not seen (" + l.Unowned + ")"
		default:
			return fmt.Sprintf("%s (pid %d, user %s)", l.Processes(), l.PID, l.User)
		}
	}
	return "a socket that does not listen"
}

// port is the one that the server listens on first.
func (s *Server) port() uint16 { return addressOf(s.listeners[0]).Port() }

// addresses are those that the server can be reached at.
func (s *Server) addresses() (all []netip.Addr) {
	for _, l := range s.listeners {
		addr := addressOf(l).Addr()
		if !addr.IsUnspecified() {
			all = append(all, addr)
			continue
		}
		if addr.Is4() {
			all = append(all, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		} else {
			all = append(all, netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1}))
		}
		// Where they cannot be listed, loopback alone is told of.
		others, _ := iface.Others()
		for _, o := range others {
			if o.Addr.Is4() || !addr.Is4() && o.Addr.Zone() == "" && !o.Addr.IsLinkLocalUnicast() {
				all = append(all, o.Addr)
			}
		}
	}
	return all
}

// URLs are where the server can be reached, without a token. They are known from
// Listen on.
func (s *Server) URLs() (all []string) {
	scheme := "http"
	if s.options.TLS {
		scheme = "https"
	}
	for _, l := range s.listeners {
		port := strconv.Itoa(int(addressOf(l).Port()))
		for _, addr := range (&Server{listeners: []net.Listener{l}}).addresses() {
			all = append(all, scheme+"://"+net.JoinHostPort(addr.String(), port)+"/")
		}
	}
	return all
}

// Certificate is that of the authority that was made for the run, as PEM; nil
// without TLS. It is known from Listen on.
func (s *Server) Certificate() []byte {
	if s.authority == nil {
		return nil
	}
	return s.authority.pem
}
