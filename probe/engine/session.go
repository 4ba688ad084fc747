package engine

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
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
	// label marks all that the session makes, as --label takes it.
	label string

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
	own, err := self()
	if err != nil {
		return nil, err
	}
	e.sweep(ctx, own)
	s := &Session{Engine: e, label: ownerLabel + "=" + own.String(), name: fmt.Sprintf("%s%d-%s", prefix, os.Getpid(), strings.ToLower(rand.Text()[:8]))}
	var image bytes.Buffer
	if err := writeImage(&image, s.image(), map[string]string{ownerLabel: own.String()}, binary); err != nil {
		return nil, err
	}
	loading, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	if _, err := e.feed(loading, bytes.NewReader(image.Bytes()), "load"); err != nil {
		// What was half loaded may have its name already.
		return nil, errors.Join(err, s.Close(context.WithoutCancel(ctx)))
	}
	return s, nil
}

// image is the name of the session's image. With the registry's name in it Podman
// looks for it nowhere else.
func (s *Session) image() string { return "localhost/" + s.name + ":latest" }

// sweep removes containers, networks and images of processes that are gone: those
// with the label of a session, whatever their names. What is in use, or is gone by
// now, stays as it is: it is not this process's to complain of.
func (e *Engine) sweep(ctx context.Context, own owner) {
	ctx, cancel := context.WithTimeout(ctx, loadTimeout)
	defer cancel()
	// Containers keep the rest in use.
	for _, kind := range []struct {
		list, inspect, remove []string
		label                 string
	}{
		{[]string{"ps", "--all"}, []string{"inspect", "--type", "container"}, []string{"rm", "--force"}, ".Config.Labels"},
		{[]string{"network", "ls"}, []string{"network", "inspect"}, []string{"network", "rm"}, ".Labels"},
		{[]string{"image", "ls"}, []string{"image", "inspect"}, []string{"image", "rm"}, ".Config.Labels"},
	} {
		out, err := e.run(ctx, append(kind.list, "--quiet", "--filter", "label="+ownerLabel)...)
		if err != nil {
			return
		}
		for _, id := range strings.Fields(out) {
			format := fmt.Sprintf("{{index %s %q}}", kind.label, ownerLabel)
			label, err := e.run(ctx, append(kind.inspect, "--format", format, id)...)
			if err != nil {
				continue
			}
			if of, err := parseOwner(label); err == nil && own.outlived(of) {
				_, _ = e.run(ctx, append(kind.remove, id)...)
			}
		}
	}
}

// Broken is why the first container could not be started, if it could not, and none
// was since. One in the host's network that could not is none: that has reasons of its
// own.
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
	arguments := []string{"network", "create", "--label", s.label}
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
		errs = append(errs, s.remove(ctx, "network", "rm", network))
	}
	return errors.Join(append(errs, s.remove(ctx, "image", "rm", s.image()))...)
}

// gone is what engines say of what they do not have, as after a creation that
// failed.
var gone = regexp.MustCompile(`(?i)not found|no such (container|network|image)|image not known`)

// remove runs a command that removes one thing. One that is not there is removed.
func (s *Session) remove(ctx context.Context, arguments ...string) error {
	_, err := s.run(ctx, arguments...)
	if failed, ok := errors.AsType[*CommandError](err); ok && gone.MatchString(failed.Said) {
		return nil
	}
	return err
}
