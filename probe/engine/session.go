package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// prefix begins every name of what sessions make.
const prefix = "loopcheck-"

// Session is what one process makes of an engine: an image, networks and
// containers. Its methods may be called from several goroutines.
type Session struct {
	*Engine
	name string

	mu         sync.Mutex
	made       int
	networks   []string
	containers []*Container
	closed     bool
	started    bool
	broken     error
}

// Start removes what sessions left whose process was killed, and loads an image of
// the binary, which is a static one for Linux. The caller closes the session.
func (e *Engine) Start(ctx context.Context, binary []byte) (*Session, error) {
	e.sweep(ctx)
	s := &Session{Engine: e, name: fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), strings.ToLower(rand.Text()[:8]))}
	var image bytes.Buffer
	if err := writeImage(&image, s.image(), binary); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	if _, err := e.feed(ctx, bytes.NewReader(image.Bytes()), "load"); err != nil {
		return nil, err
	}
	return s, nil
}

// image is the name of the session's image. With the registry's name in it Podman
// looks for it nowhere else.
func (s *Session) image() string { return "localhost/" + s.name + ":latest" }

// sweep removes networks and images of processes that are gone. What is in use, or
// is gone by now, stays as it is: it is not this process's to complain of.
func (e *Engine) sweep(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for _, kind := range []struct {
		list, remove []string
	}{
		{[]string{"network", "ls", "--format", "{{.Name}}"}, []string{"network", "rm"}},
		{[]string{"image", "ls", "--format", "{{.Repository}}"}, []string{"image", "rm"}},
	} {
		out, err := e.run(ctx, kind.list...)
		if err != nil {
			return
		}
		for _, name := range strings.Fields(out) {
			if ofTheDead(name) {
				_, _ = e.run(ctx, append(kind.remove, name)...)
			}
		}
	}
}

// ofTheDead says whether a name is that of a session whose process is gone. A
// number that another process has by now keeps it until that is gone, too.
func ofTheDead(name string) bool {
	rest, ours := strings.CutPrefix(strings.TrimPrefix(name, "localhost/"), prefix)
	number, _, more := strings.Cut(rest, "-")
	pid, err := strconv.Atoi(number)
	return ours && more && err == nil && pid > 0 && !alive(pid)
}

// Broken is why the first container could not be started, if it could not, and none
// was since.
func (s *Session) Broken() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.broken
}

// tried takes note of how the start of a container ended.
func (s *Session) tried(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started = s.started || err == nil; !s.started {
		s.broken = err
	}
}

// Network makes a bridge network that is kept apart from others, and returns its name.
func (s *Session) Network(ctx context.Context) (string, error) {
	name, err := s.next()
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	s.mu.Lock()
	s.networks = append(s.networks, name) // also where it is made after the deadline
	s.mu.Unlock()
	arguments := []string{"network", "create"}
	if s.Name == "podman" {
		// Docker keeps all apart, Podman those that say so (podman-network-create(1)).
		arguments = append(arguments, "--opt", "isolate=true")
	}
	_, err = s.run(ctx, append(arguments, name)...)
	return name, err
}

// next is a name that the session has not used yet.
func (s *Session) next() (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errClosed
	}
	s.made++
	return fmt.Sprintf("%s-%d", s.name, s.made), nil
}

var errClosed = errors.New("the session with the engine is closed")

// Gateway is the host's address of IPv4 in a network.
func (s *Session) Gateway(ctx context.Context, network string) (netip.Addr, error) {
	format := "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
	if s.Name == "podman" {
		format = "{{range .Subnets}}{{.Gateway}} {{end}}"
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	out, err := s.run(ctx, "network", "inspect", "--format", format, network)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, text := range strings.Fields(out) {
		if addr, err := netip.ParseAddr(text); err == nil && addr.Is4() {
			return addr, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("%s network inspect: no gateway in %q", s.Name, out)
}

// Close ends the containers and removes all that the session made. Closing again
// does nothing.
func (s *Session) Close(ctx context.Context) error {
	s.mu.Lock()
	containers, networks, closed := s.containers, s.networks, s.closed
	s.closed = true
	s.mu.Unlock()
	if closed {
		return nil
	}
	var errs []error
	for _, c := range containers {
		errs = append(errs, c.Close(ctx))
	}
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for _, network := range slices.Backward(networks) {
		_, err := s.run(ctx, "network", "rm", network)
		errs = append(errs, err)
	}
	_, err := s.run(ctx, "image", "rm", s.image())
	return errors.Join(append(errs, err)...)
}
