package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// watchInterval is how often --watch looks. A look takes a few tenths of a
// millisecond, so that it costs well under 1 % of a processor.
const watchInterval = 100 * time.Millisecond

// listOptions are the flags of ports list.
type listOptions struct {
	watch     bool
	json      bool
	ports     string
	protocols []string
}

func newPortsList(a *app) *cobra.Command {
	var o listOptions
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List who listens: process, user, unit, container, from where it can be reached",
		Long: `List shows every socket of TCP and UDP that peers may reach, with its process,
user, systemd unit and container. SCOPE is from where packets can reach it, as
far as what it is bound to decides: loopback alone, one interface, or every
interface. A firewall may let fewer through. BACKLOG is how many connections
wait to be accepted, and the limit.

Where several processes hold a socket the first is shown, and how many more
there are; --json has all of them. A process of "?" is one that loopcheck was
not allowed to look for, and "-" one that is not in sight: the kernel's own, or
of another PID namespace. What could not be seen is said on stderr.

With --watch it goes on to show what opens (+) and closes (-), until Ctrl-C. It
looks ten times a second: what opens and closes in between is missed.

With --json it prints one JSON document, an object with "listeners" and
"unseen". With --watch and --json it prints one document a line: first that
object, then one with "when", "opened" and "listener" for each change.`,
		Example: "  loopcheck ports list\n  loopcheck ports list --protocol tcp --ports 1-1023,62893\n  loopcheck ports list --watch",
		Args:    noArguments,
		RunE: func(*cobra.Command, []string) error {
			wanted, err := o.filter()
			if err != nil {
				return &usageError{err}
			}
			return a.portsList(o, wanted)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.watch, "watch", false, "go on and show what opens and closes")
	f.BoolVar(&o.json, "json", false, "print one JSON document; with --watch one a line")
	f.StringVar(&o.ports, "ports", "1-65535", "only these `PORTS`, such as 1-1023,62893")
	f.StringSliceVar(&o.protocols, "protocol", []string{"tcp", "udp"}, "only these `PROTOCOLS`: tcp, udp")
	return cmd
}

// filter says which listeners the flags ask for.
func (o listOptions) filter() (func(listeners.Listener) bool, error) {
	ports, err := portset.Parse(o.ports)
	if err != nil {
		return nil, fmt.Errorf("--ports: %w", err)
	}
	kinds, err := protocolKinds(o.protocols)
	if err != nil {
		return nil, err
	}
	return func(l listeners.Listener) bool {
		return ports.Contains(l.Port) && slices.ContainsFunc(kinds, func(k sock.Kind) bool { return k.String() == l.Protocol })
	}, nil
}

func (a *app) portsList(o listOptions, wanted func(listeners.Listener) bool) error {
	ctx, stop := interruptible()
	// There is nothing to finish: a signal ends it at once, even while nobody
	// reads what it prints.
	stop.enter(printing)
	list, err := listeners.Read(ctx)
	if err != nil {
		return stop.or(err)
	}
	shown := list
	shown.Listeners = slices.DeleteFunc(slices.Clone(list.Listeners), func(l listeners.Listener) bool { return !wanted(l) })
	if err := a.printListeners(o, shown); err != nil || !o.watch {
		return err
	}
	return stop.or(a.watchListeners(ctx, o, list, wanted))
}

// printListeners prints the list, and to stderr what could not be seen, which
// the JSON holds.
func (a *app) printListeners(o listOptions, list listeners.List) error {
	switch {
	case o.json && o.watch:
		return json.NewEncoder(a.stdout).Encode(list)
	case o.json:
		return writeJSON(a.stdout, list)
	}
	width := 0
	if _, isTerminal := terminalOf(a.stdout); isTerminal {
		width = columns(a.stdout)
	}
	if err := printListenerTable(a.stdout, list.Listeners, width); err != nil {
		return err
	}
	for _, line := range list.Unseen {
		_, _ = fmt.Fprintf(a.stderr, "loopcheck: %s\n", inOneLine(line))
	}
	return nil
}

// watchListeners prints a line for each change.
func (a *app) watchListeners(ctx context.Context, o listOptions, before listeners.List, wanted func(listeners.Listener) bool) error {
	encoder := json.NewEncoder(a.stdout)
	return listeners.Watch(ctx, before, watchInterval, func(e listeners.Event) error {
		if !wanted(e.Listener) {
			return nil
		}
		if o.json {
			return encoder.Encode(e)
		}
		mark := "-"
		if e.Opened {
			mark = "+"
		}
		_, err := fmt.Fprintf(a.stdout, "%s %s %s\n", e.When.Format("2006-01-02 15:04:05.000"), mark, inOneLine(e.Listener.String()))
		return err
	})
}
