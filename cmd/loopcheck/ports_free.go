package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/loopcheck/loopcheck/harness/terminal"
	"github.com/loopcheck/loopcheck/probe/freeport"
	"github.com/loopcheck/loopcheck/probe/iface"
	"github.com/loopcheck/loopcheck/probe/portset"
	"github.com/loopcheck/loopcheck/probe/sock"
)

// freeOptions are the flags of ports free.
type freeOptions struct {
	ports     string
	count     int
	json      bool
	hold      bool
	address   string
	protocols []string
}

func newPortsFree(a *app) *cobra.Command {
	var o freeOptions
	cmd := &cobra.Command{
		Use:   "free [--hold COMMAND [ARGUMENT...]]",
		Short: "Find a port that nobody has, and hold it for a command",
		Long: `Free prints a port that is free now for TCP and UDP, on every address of IPv4
and IPv6, and is not reserved. Without --range it looks first where the kernel
chooses ports for nobody.

Between the moment a port is printed and the moment somebody binds it, another
may take it. With --hold nobody can: the command is executed in loopcheck's place
with the socket already bound, and for TCP listening, as descriptor 3, as systemd
does it (LISTEN_FDS, LISTEN_PID and LISTEN_FDNAMES, see sd_listen_fds(3)), and
with the number in PORT. With --count or two protocols there are more
descriptors, in the order of the ports, and PORT is the first.`,
		Example: "  loopcheck ports free\n  loopcheck ports free --range 49152-65535 --count 3\n  loopcheck ports free --hold ./server --quiet",
		RunE: func(_ *cobra.Command, args []string) error {
			options, err := o.options(args)
			if err != nil {
				return &usageError{err}
			}
			return a.portsFree(o, options, args)
		},
	}
	f := cmd.Flags()
	// What follows the command is the command's.
	f.SetInterspersed(false)
	f.StringVar(&o.ports, "range", "", "look among these `PORTS`, such as 49152-65535")
	f.IntVar(&o.count, "count", 1, "find `N` ports")
	f.BoolVar(&o.json, "json", false, "print one JSON document")
	f.BoolVar(&o.hold, "hold", false, "execute the command that follows, with the bound socket as descriptor 3")
	f.StringVar(&o.address, "address", "127.0.0.1", "with --hold: bind this `ADDRESS` of the machine; :: takes IPv4 too")
	f.StringSliceVar(&o.protocols, "protocol", []string{"tcp"}, "with --hold: bind a socket of these `PROTOCOLS`: tcp, udp")
	return cmd
}

// options checks what the flags say together.
func (o freeOptions) options(args []string) (freeport.Options, error) {
	options := freeport.Options{Count: o.count}
	if o.ports != "" {
		ports, err := portset.Parse(o.ports)
		if err != nil {
			return options, fmt.Errorf("--range: %w", err)
		}
		options.Ports = ports
	}
	most := portset.All().Len()
	if options.Ports.Len() > 0 {
		most = options.Ports.Len()
	}
	if o.count < 1 || o.count > most {
		return options, fmt.Errorf("--count %d: write a number from 1 to %d", o.count, most)
	}
	switch {
	case !o.hold && len(args) > 0:
		return options, fmt.Errorf("ports free takes no argument, but was given %q: write --hold before a command", args[0])
	case !o.hold:
		return options, nil
	case o.json:
		return options, errors.New("--json and --hold: write one of them, stdout is the command's")
	case len(args) == 0:
		return options, errors.New("--hold: write the command to execute behind it")
	}
	return options, o.keep(&options)
}

// keep adds what --hold binds.
func (o freeOptions) keep(options *freeport.Options) error {
	addr, err := netip.ParseAddr(strings.Trim(o.address, "[]"))
	if err != nil {
		return fmt.Errorf("--address %q is no address: write one of this machine's own, such as 127.0.0.1", o.address)
	}
	addr = addr.Unmap()
	if own, _, err := iface.Owns(addr); !addr.IsUnspecified() && (err != nil || !own) {
		return fmt.Errorf("--address %s is no address of this machine: write one of its own, such as 127.0.0.1", addr)
	}
	kinds, err := protocolKinds(o.protocols)
	if err != nil {
		return err
	}
	for _, kind := range kinds {
		options.Keep = append(options.Keep, freeport.Kept{Kind: kind, Addr: addr})
	}
	return nil
}

func (a *app) portsFree(o freeOptions, options freeport.Options, command []string) error {
	var program string
	if o.hold {
		var err error
		if program, err = findProgram(command[0]); err != nil {
			return &usageError{err}
		}
	}
	found, err := freeport.Find(context.Background(), options)
	if none, ok := errors.AsType[*freeport.NoneError](err); ok {
		a.explainNone(none)
		return codeError(exitFailed)
	}
	if err != nil {
		return err
	}
	if o.hold {
		return handOver(program, command, found, kindsOf(options.Keep))
	}
	numbers := make([]uint16, len(found))
	for i, p := range found {
		numbers[i] = p.Number
		p.Close()
	}
	if o.json {
		return writeJSON(a.stdout, map[string][]uint16{"ports": numbers})
	}
	var b strings.Builder
	for _, n := range numbers {
		b.WriteString(strconv.Itoa(int(n)) + "\n")
	}
	_, err = a.stdout.Write([]byte(b.String()))
	return err
}

func kindsOf(keep []freeport.Kept) []sock.Kind {
	kinds := make([]sock.Kind, len(keep))
	for i, k := range keep {
		kinds[i] = k.Kind
	}
	return kinds
}

// explainNone says who has the ports: a line, and one a reason.
func (a *app) explainNone(none *freeport.NoneError) {
	_, _ = fmt.Fprintf(a.stderr, "loopcheck: %v\n", none)
	for _, r := range none.Reasons {
		verb := "are"
		if r.Ports.Len() == 1 {
			verb = "is"
		}
		line := fmt.Sprintf("  %s %s %s", terminal.Shorten(r.Ports.String(), 60), verb, r.What)
		if len(r.Who) > 0 {
			line += ": " + strings.Join(r.Who, "; ")
			if more := r.Ports.Len() - len(r.Who); more > 0 {
				line += fmt.Sprintf("; and %d more", more)
			}
		}
		_, _ = fmt.Fprintln(a.stderr, terminal.Harmless(line))
	}
}
