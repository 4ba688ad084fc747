package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
)

// Options is what a container is made of.
type Options struct {
	// Network is a name that Network returned, HostNetwork, or Within of another
	// container; "" stands for the engine's own bridge.
	Network string
	// Publish are ports as -p takes them, such as "127.0.0.1::80/tcp".
	Publish []string
	// Hosts are names beside those that the engine writes, such as
	// "host.docker.internal:host-gateway".
	Hosts []string
	// Listen are the addresses that the container's service listens on.
	Listen []Address
}

// HostNetwork is the network of the host, which an engine may refuse and start other
// containers.
const HostNetwork = "host"

// Within is the network of a container, as in a pod.
func Within(c *Container) string { return "container:" + c.Name }

// Container is one that runs.
type Container struct {
	Name string
	// Listens is where its service does, in the order of the options.
	Listens []Address

	session *Session
	command *exec.Cmd
	input   io.WriteCloser
	output  io.ReadCloser
	gone    chan struct{} // closed when the command was waited for
	said    *limited

	mu      sync.Mutex
	encoder *json.Encoder
	decoder *json.Decoder
	ended   sync.Once
}

// Run starts a container and waits until its service listens.
func (s *Session) Run(ctx context.Context, o Options) (*Container, error) {
	c, err := s.start(ctx, o)
	if err == nil || o.Network != HostNetwork {
		s.tried(err)
	}
	return c, err
}

func (s *Session) start(ctx context.Context, o Options) (*Container, error) {
	name, err := s.next()
	if err != nil {
		return nil, err
	}
	arguments := []string{"run", "--rm", "--interactive", "--pull", "never", "--label", s.label, "--name", name}
	if o.Network != "" {
		arguments = append(arguments, "--network", o.Network)
	}
	if o.Network == HostNetwork && s.Remapped {
		// That network belongs to the host's users, and to no others
		// (https://docs.docker.com/engine/security/userns-remap/).
		arguments = append(arguments, "--userns", "host")
	}
	for _, p := range o.Publish {
		arguments = append(arguments, "--publish", p)
	}
	for _, h := range o.Hosts {
		arguments = append(arguments, "--add-host", h)
	}
	arguments = append(arguments, s.image(), ServiceCommand)
	for _, a := range o.Listen {
		arguments = append(arguments, a.String())
	}
	c := &Container{Name: name, session: s, gone: make(chan struct{}), said: &limited{}}
	c.command = exec.Command(s.path, arguments...)
	c.command.Stderr = c.said
	c.command.WaitDelay = helperDelay
	apart(c.command)
	c.output, err = c.command.StdoutPipe()
	if err == nil {
		c.input, err = c.command.StdinPipe()
	}
	if err == nil {
		err = c.command.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("%s run: %w", s.Name, err)
	}
	c.encoder, c.decoder = json.NewEncoder(c.input), json.NewDecoder(c.output)
	s.mu.Lock()
	s.containers = append(s.containers, c)
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var ready Answer
	if err := c.receive(ctx, &ready); err != nil {
		// What the engine says of it is whole once its command has ended.
		closeErr := c.Close(ctx)
		return nil, errors.Join(c.failure(err), closeErr)
	}
	if ready.Failed != "" {
		return nil, errors.Join(fmt.Errorf("in the container: %s", ready.Failed), c.Close(ctx))
	}
	c.Listens = ready.Listens
	return c, nil
}

// receive reads one answer. One that the context ends before leaves the container
// of no more use.
func (c *Container) receive(ctx context.Context, a *Answer) error {
	stop := context.AfterFunc(ctx, func() {
		_ = c.command.Process.Kill()
		_ = c.output.Close() // a helper may hold the other end
	})
	defer stop()
	err := c.decoder.Decode(a)
	if ctx.Err() != nil {
		return fmt.Errorf("wait for the container: %w", ctx.Err())
	}
	return err
}

// failure is an error of receive with what the engine said.
func (c *Container) failure(err error) error {
	return &CommandError{Command: c.session.Name + " run", Said: c.said.String(), Err: err}
}

// Dial asks the service at an address from within the container. The address may
// have a name for a host.
func (c *Container) Dial(ctx context.Context, to Address) (Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := c.encoder.Encode(order{Dial: to}); err != nil {
		return Answer{}, fmt.Errorf("ask within the container: %w", err)
	}
	var a Answer
	if err := c.receive(ctx, &a); err != nil {
		return Answer{}, c.failure(err)
	}
	return a, nil
}

// Address is the container's own in IPv4; the zero Addr where it has none.
func (c *Container) Address(ctx context.Context) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	out, err := c.session.run(ctx, "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", c.Name)
	if err != nil {
		return netip.Addr{}, err
	}
	for _, text := range strings.Fields(out) {
		if addr, err := netip.ParseAddr(text); err == nil {
			return addr, nil
		}
	}
	return netip.Addr{}, nil
}

// Published are the host's addresses that lead to a port of the container, such as
// "80/tcp".
func (c *Container) Published(ctx context.Context, port string) ([]netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	out, err := c.session.run(ctx, "port", c.Name, port)
	if err != nil {
		return nil, err
	}
	var found []netip.AddrPort
	for _, text := range strings.Fields(out) {
		if at, err := netip.ParseAddrPort(text); err == nil && !slices.Contains(found, at) {
			found = append(found, at)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s port %s %s: no address in %q", c.session.Name, c.Name, port, out)
	}
	return found, nil
}

// Close ends the container's input, by which it ends, and waits until the engine
// has removed it. One that does not end by itself, or whose command failed, as one
// that was made and could not be started, is removed by force. Closing again does
// nothing.
func (c *Container) Close(ctx context.Context) (err error) {
	c.ended.Do(func() {
		_ = c.input.Close() // it may be gone already
		var ended error
		go func() {
			if err := c.command.Wait(); !errors.Is(err, exec.ErrWaitDelay) {
				ended = err
			}
			close(c.gone)
		}()
		ctx := context.WithoutCancel(ctx)
		waiting, cancel := context.WithTimeout(ctx, endTimeout)
		defer cancel()
		select {
		case <-c.gone:
			if ended != nil {
				err = c.remove(ctx)
			}
		case <-waiting.Done():
			err = c.remove(ctx)
			_ = c.command.Process.Kill()
			<-c.gone
		}
	})
	return err
}

// remove removes the container by force.
func (c *Container) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	return c.session.remove(ctx, "rm", "--force", c.Name)
}

// limited keeps the beginning of what is written to it.
type limited struct {
	mu   sync.Mutex
	text []byte
}

const saidBytes = 4 << 10

func (l *limited) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, p[:min(len(p), saidBytes-len(l.text))]...)
	return len(p), nil
}

func (l *limited) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return oneLine(string(l.text))
}
