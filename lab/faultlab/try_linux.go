package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/lab/faults"
	"github.com/loopcheck/loopcheck/lab/leftovers"
	"github.com/loopcheck/loopcheck/lab/report"
	"github.com/loopcheck/loopcheck/probe/listeners"
	"github.com/loopcheck/loopcheck/probe/sandbox"
)

const (
	// runTimeout is how long loopcheck may take over one fault, on a busy machine
	// too. What takes longer has not found it.
	runTimeout = 90 * time.Second
	// wholeTimeout is the same where all checks are run: many of them wait for
	// what never comes.
	wholeTimeout = 3 * time.Minute
	// commandTimeout bounds a command that sets up, damages or mends.
	commandTimeout = 15 * time.Second
	// maxShown bounds what is kept of a command's output.
	maxShown = 600
)

// trial is what is to be done in a stack of its own.
type trial struct {
	World, Damage []string
	Machine       faults.Machine
	Process       faults.Process
	RealRoot      bool
	Command       []string // loopcheck's path and its arguments; none where only the injection is asked
	Limit         time.Duration
	Mend          bool // run the remedies, and compare
	Quiet         bool // while no other runs
}

// observation is what came of a trial.
type observation struct {
	// Changed is how the damage showed in the snapshots.
	Changed []string
	Output  string // loopcheck's report
	Errors  string // the end of its standard error, and how it ended
	// Remedies are the commands that were run, and Refused what failed of them.
	Remedies, Refused []string
	// Left is what is otherwise than before the damage, after the remedies.
	Left []string
	// Again is the report of a second run, where the process and not the stack
	// was damaged, and the end of its standard error.
	Again, AgainErrors string
}

var try = sandbox.Register("faultlab/try", func(ctx context.Context, _ *sandbox.Inside, t trial) (observation, error) {
	return t.run(ctx)
})

// run does all of it in the namespaces of this process.
func (t trial) run(ctx context.Context) (o observation, err error) {
	if err := ownEtc(ctx); err != nil {
		return o, err
	}
	if t.Machine.Relay != nil {
		t.World = append(t.World, relayWorld)
		t.Damage = append(t.Damage, relayed(*t.Machine.Relay).rule())
	}
	if t.Machine.Conntrack {
		t.World = append(t.World, conntrackWorld)
	}
	for _, command := range t.World {
		if err := shell(ctx, command); err != nil {
			return o, fmt.Errorf("set up: %w", err)
		}
	}
	stop, err := t.startRelay()
	if err != nil {
		return o, err
	}
	defer stop()
	before, err := look(ctx)
	if err != nil {
		return o, err
	}
	release, err := t.damage(ctx)
	if err != nil {
		return o, fmt.Errorf("damage: %w", err)
	}
	defer release()
	damaged, err := look(ctx)
	if err != nil {
		return o, err
	}
	o.Changed = append(before.differences(damaged), before.newSockets(damaged)...)
	if len(t.Command) == 0 {
		return o, nil
	}
	endHogs, err := startHogs(t.Process.Hogs)
	if err != nil {
		return o, err
	}
	defer endHogs()
	if err := t.install(); err != nil {
		return o, err
	}
	o.Output, o.Errors = t.ask(ctx, "")
	if !t.Mend {
		return o, nil
	}
	return o, t.mend(ctx, before, &o)
}

// mend runs what was printed, and looks at what it did.
func (t trial) mend(ctx context.Context, before state, o *observation) error {
	r, err := report.Decode(strings.NewReader(o.Output))
	if err != nil {
		return nil // there is nothing to run, and what was found says so
	}
	o.Remedies = remediesOf(r)
	if len(o.Remedies) == 0 {
		return nil
	}
	if t.Process.Any() {
		o.Again, o.AgainErrors = t.ask(ctx, strings.Join(o.Remedies, " && "))
		return nil
	}
	if t.Machine.Cgroup != nil {
		// A remedy may be to leave the group, which only the shell that starts
		// loopcheck can do for it.
		o.Again, o.AgainErrors = t.ask(ctx, strings.Join(o.Remedies, " && "))
	} else {
		for _, command := range o.Remedies {
			if err := shell(ctx, command); err != nil {
				o.Refused = append(o.Refused, err.Error())
			}
		}
	}
	after, err := look(ctx)
	if err != nil {
		return err
	}
	o.Left = before.differences(after)
	return nil
}

// installed is where the binary is in the private stack: there every user may
// execute it, and it is gone with the stack.
const installed = "/run/loopcheck"

func (t trial) install() error {
	content, err := os.ReadFile(t.Command[0])
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(installed, content, 0o755), os.Chmod(installed, 0o755))
}

// ask runs loopcheck in the damaged surroundings, after a command of the shell
// that starts it where there is one.
func (t trial) ask(ctx context.Context, first string) (stdout, stderr string) {
	ctx, cancel := context.WithTimeout(ctx, t.Limit)
	defer cancel()
	command := append([]string{installed}, t.Command[1:]...)
	if first != "" {
		command = append([]string{"sh", "-c", "{ " + first + `; } >&2 && exec "$0" "$@"`}, command...)
	}
	if t.Process.Wrap != "" {
		command = append(strings.Fields(t.Process.Wrap), command...)
	}
	path, err := exec.LookPath(command[0])
	if err != nil {
		return "", err.Error()
	}
	if t.Process.Filtered() {
		command = append([]string{stageName, encode(t.Process), path}, command[1:]...)
		path = "/proc/self/exe"
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Args = command
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "HOME=/run", "TMPDIR=/run")
	cmd.WaitDelay = time.Second
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err = cmd.Run()
	ended := ""
	switch {
	case ctx.Err() != nil:
		ended = fmt.Sprintf("it had not ended after %v", t.Limit)
	case err != nil:
		ended = err.Error()
	}
	return out.String(), strings.TrimSpace(last(errs.String()) + "\n" + ended)
}

// damage does what the fault is about, and returns what ends the programs that
// do it.
func (t trial) damage(ctx context.Context) (release func(), err error) {
	for _, command := range t.Damage {
		if err := shell(ctx, command); err != nil {
			return nil, err
		}
	}
	switch {
	case t.Machine.Hold != nil:
		return hold(*t.Machine.Hold)
	case t.Machine.Conntrack:
		return func() {}, fillConntrack()
	}
	return func() {}, nil
}

// shell runs a command as a user would paste it.
func shell(ctx context.Context, command string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", command)
	cmd.WaitDelay = time.Second
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%q: %w: %s", last(command), err, strings.TrimSpace(last(string(out))))
	}
	return nil
}

func last(text string) string { return text[max(0, len(text)-maxShown):] }

// ownEtc puts a copy of /etc in its place that can be written, with the files
// about names as on a plain machine.
func ownEtc(ctx context.Context) error {
	// What may not be read is not needed by anything that runs here.
	const copyEtc = `mkdir -p /run/etc && { cp -a /etc/. /run/etc/ 2>/dev/null || true; } && mount --bind /run/etc /etc
rm -f /etc/hosts /etc/nsswitch.conf /etc/resolv.conf
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >/etc/hosts
printf 'passwd: files\ngroup: files\nhosts: files dns\n' >/etc/nsswitch.conf
printf 'nameserver 192.0.2.53\n' >/etc/resolv.conf
chmod 755 /etc && chmod 644 /etc/hosts /etc/nsswitch.conf /etc/resolv.conf`
	if err := shell(ctx, copyEtc); err != nil {
		return fmt.Errorf("have an /etc of its own: %w", err)
	}
	return nil
}

// state is all that a remedy has to bring back.
type state struct {
	stack leftovers.Snapshot
	files map[string]string
	// sockets are those that are bound to a port, as "tcp 127.0.0.1:80".
	sockets []string
}

// nameFiles decide what names mean.
var nameFiles = []string{"/etc/hosts", "/etc/nsswitch.conf", "/etc/resolv.conf"}

// compared are the kinds of which a stack consists.
var compared = map[leftovers.Kind]bool{
	leftovers.NFTables: true, leftovers.IPTables: true, leftovers.Sysctl: true, leftovers.Link: true,
	leftovers.Address: true, leftovers.Route: true, leftovers.Rule: true, leftovers.Qdisc: true, leftovers.Mount: true,
}

func look(ctx context.Context) (state, error) {
	s := state{files: map[string]string{}}
	var err error
	if s.stack, err = (leftovers.Watch{}).Take(ctx); err != nil {
		return s, err
	}
	for _, name := range nameFiles {
		text, err := os.ReadFile(name)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return s, err
		}
		s.files[name] = plain(string(text))
	}
	bound, err := listeners.Read(ctx)
	if err != nil {
		return s, err
	}
	for _, l := range bound.Listeners {
		s.sockets = append(s.sockets, fmt.Sprintf("%s %v:%d", l.Protocol, l.Address, l.Port))
	}
	return s, nil
}

// plain is the content of a file about names without comments and empty lines.
func plain(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if fields := strings.Fields(line); len(fields) > 0 {
			lines = append(lines, strings.Join(fields, " "))
		}
	}
	return strings.Join(lines, "\n")
}

// differences is how another state differs, a line each.
func (s state) differences(other state) []string {
	var lines []string
	for _, d := range leftovers.Compare(s.stack, other.stack) {
		// Settings outside of net are the machine's, and others may change them.
		if compared[d.Kind] && (d.Kind != leftovers.Sysctl || strings.Contains(d.Name, "net.")) {
			lines = append(lines, d.String())
		}
	}
	for _, name := range nameFiles {
		if s.files[name] != other.files[name] {
			lines = append(lines, fmt.Sprintf("file changed: %s: from %q to %q", name, s.files[name], other.files[name]))
		}
	}
	return lines
}

// newSockets are those that another state has besides, a line each.
func (s state) newSockets(other state) []string {
	var lines []string
	for _, socket := range other.sockets {
		if !slices.Contains(s.sockets, socket) {
			lines = append(lines, "bound: "+socket)
		}
	}
	return lines
}

// startHogs starts busy processes. They end with the returned function, or
// with the namespace.
func startHogs(n int) (end func(), err error) {
	var hogs []*exec.Cmd
	end = func() {
		for _, h := range hogs {
			_ = h.Process.Kill()
			_ = h.Wait() // its error says that it was killed
		}
	}
	for range n {
		h := exec.Command("sh", "-c", "while :; do :; done")
		if err := h.Start(); err != nil {
			end()
			return nil, err
		}
		hogs = append(hogs, h)
	}
	return end, nil
}

// mountPrivately keeps mounts of this process from the rest of the machine.
func mountPrivately() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("keep mounts private: %w", err)
	}
	return nil
}
