// Package sandbox answers what a stack does when something is changed, without
// changing anything on the machine: it runs functions in network namespaces of
// their own, which are gone with the process that asked for them, however that
// process ends.
//
// A sandbox is one child process, the worker: the running binary once more, in
// a user, network, mount, PID and IPC namespace of its own, where it has every
// right over the network and none over the machine. It holds one or more
// zones. A zone is a network namespace with a name, its lo up, and nothing else
// in it but what the configuration joins to it.
//
// What is to be done inside is a function that was registered by name while
// packages were initialised, and that both processes therefore have:
//
//	var listen = sandbox.Register("ports/listen",
//		func(ctx context.Context, in *sandbox.Inside, port uint16) (netip.AddrPort, error) { … })
//
//	s, err := sandbox.Start(ctx, sandbox.Config{})
//	if err != nil { … }
//	defer s.Close()
//	addr, err := listen.Call(ctx, s, "", 80)
//
// Arguments and results go over a socket as JSON, so they are values of which
// encoding/json keeps all. Errors keep their text and their errno.
//
// Every binary that starts sandboxes calls Main before anything else, the
// binaries of tests in their TestMain.
//
// Sandboxes are Linux's own; elsewhere Start fails with a RefusedError.
package sandbox

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"
)

const (
	// startTimeout bounds what Start waits for where its context says nothing.
	// A worker stands within milliseconds; the rest is for a machine whose
	// processors are busy elsewhere.
	startTimeout = 10 * time.Second
	// callTimeout bounds a call where its context says nothing, so that no
	// function in a sandbox can be waited for without an end.
	callTimeout = time.Minute
	// unwindTimeout is how long a function may go on after its context ended
	// before the call returns without it. It comes back within milliseconds
	// if it heeds its context, and its own error tells more.
	unwindTimeout = time.Second
)

// Config says what a sandbox is made of. The zero value is a sandbox of one
// zone with lo alone in it.
type Config struct {
	// Zones names the zones; none means one zone with the empty name. The
	// first is the one that the worker's process lives in: there a function
	// may use goroutines and Go's net package as anywhere. In the others it
	// has to stay on the thread that it was called on, which probe/sock and
	// programs started with os/exec do.
	Zones []string
	// Links join zones, or a zone to itself.
	Links []Link
	// OnHost leaves the sandbox in the network namespace that it was started from,
	// where it has no rights: one zone of no name, and no links. It is for servers
	// that the machine's own loopback is to reach. An ordinary user who is given no
	// namespaces has a worker without any (Facts.Plain), which has the machine's
	// files, and whose programs have to be started by Launch, with Pdeathsig.
	OnHost bool
}

// Link is a virtual Ethernet cable (veth(4)) whose two ends are up.
type Link struct{ A, B End }

// End is one end of a link.
type End struct {
	Zone string
	// Name is that of the interface, such as "eth0"; at most 15 bytes.
	Name string
	// Addresses are given to the interface. An IPv6 address is usable at
	// once: duplicate address detection is off.
	Addresses []netip.Prefix
}

// Facts is what a sandbox turned out to be: how much of it was to be had.
type Facts struct {
	// UserNamespace says that the worker is root in a user namespace of its
	// own only. Where those are refused, root has sandboxes without one.
	UserNamespace bool `json:"user_namespace"`
	// IDs is how many user IDs exist inside, counted from 0: 1 for an
	// ordinary user, up to 65,536 for root.
	IDs int `json:"ids"`
	// Proc and Sys say that /proc and /sys are the sandbox's own. Containers
	// that hide parts of theirs refuse fresh ones.
	Proc bool `json:"proc"`
	Sys  bool `json:"sys"`
	// ReadOnly says that the machine's files cannot be written from inside,
	// whoever owns them (mount_setattr(2), Linux 5.12). /run is empty and
	// writable in any case, and TMPDIR points there.
	ReadOnly bool `json:"read_only"`
	// Plain says that the worker has no namespaces at all: see Config.OnHost.
	Plain bool `json:"plain"`
}

// RefusedError says that this machine gives this user no sandbox.
type RefusedError struct {
	// Why names the setting that refuses, with its value, where one was found.
	Why string
	// How is what the user would do to be given one.
	How string
	Err error
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("private namespaces are refused (%s): %v", e.Why, e.Err)
}

func (e *RefusedError) Unwrap() error { return e.Err }

// DiedError says that the worker was gone before it answered.
type DiedError struct {
	// State is how it ended, such as "signal: killed".
	State string
	// Output is the end of what it had written to its standard error.
	Output string
}

func (e *DiedError) Error() string {
	if e.Output == "" {
		return "the sandbox died: " + e.State
	}
	return fmt.Sprintf("the sandbox died: %s: %s", e.State, e.Output)
}

// ErrClosed says that the sandbox was closed before or during a call.
var ErrClosed = errors.New("the sandbox is closed")

// PanicError says that a function panicked inside.
type PanicError struct {
	Func  string
	Value string
	Stack string
}

func (e *PanicError) Error() string {
	return fmt.Sprintf("%s panicked in the sandbox: %s\n%s", e.Func, e.Value, e.Stack)
}

func (c Config) zones() []string {
	if len(c.Zones) == 0 {
		return []string{""}
	}
	return c.Zones
}

// validate finds what the kernel would refuse with a bare EINVAL.
func (c Config) validate() error {
	if c.OnHost && len(c.Zones)+len(c.Links) > 0 {
		return errors.New("the machine's own network has no zones and no links")
	}
	known := map[string]bool{}
	for _, zone := range c.zones() {
		if known[zone] {
			return fmt.Errorf("two zones are named %q", zone)
		}
		known[zone] = true
	}
	taken := map[[2]string]bool{}
	for _, link := range c.Links {
		for _, end := range []End{link.A, link.B} {
			switch key := [2]string{end.Zone, end.Name}; {
			case !known[end.Zone]:
				return fmt.Errorf("interface %q: there is no zone %q", end.Name, end.Zone)
			case !validInterface(end.Name):
				return fmt.Errorf("%q is no name of an interface: 1 to 15 bytes without blanks, '/' and ':'", end.Name)
			case taken[key] || end.Name == "lo":
				return fmt.Errorf("zone %q has two interfaces named %q", end.Zone, end.Name)
			default:
				taken[key] = true
			}
		}
	}
	return nil
}

// validInterface is dev_valid_name of the kernel's net/core/dev.c.
func validInterface(name string) bool {
	return name != "" && name != "." && name != ".." && len(name) < 16 &&
		!strings.ContainsAny(name, "/: \t\n\v\f\r\u0085\u00a0")
}
