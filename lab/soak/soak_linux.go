package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/loopcheck/loopcheck/lab/leftovers"
	"golang.org/x/sys/unix"
)

// soak runs one command over and over.
type soak struct {
	options
	base   string // the folder that holds all of the following
	binary string // the copy of the command
	args   []string
	mark   string // the environment variable that marks what the command starts
	// own holds the PIDs of the processes soak itself waits for.
	own map[int]bool
	log io.Writer
}

// folders are where a variant's command works.
type folders struct{ work, tmp, home string }

// binFolder holds the copy of the command, below soak's folder.
const binFolder = "bin"

// newSoak copies the command to a temporary folder that every user may read.
// The caller removes the folder with close.
func newSoak(o options, command []string, log io.Writer) (*soak, error) {
	source, err := exec.LookPath(command[0])
	if err != nil {
		return nil, fmt.Errorf("find the command: %w", err)
	}
	base, err := os.MkdirTemp("", "soak-")
	if err != nil {
		return nil, fmt.Errorf("make a folder to work in: %w", err)
	}
	s := &soak{
		options: o, base: base, args: command[1:], log: log,
		mark: "SOAK_MARK=" + rand.Text(),
		own:  map[int]bool{},
	}
	if err := s.install(source); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *soak) install(source string) error {
	if err := os.Chmod(s.base, 0o755); err != nil {
		return fmt.Errorf("open the folder to all users: %w", err)
	}
	content, err := os.ReadFile(source)
	if err != nil {
		return fmt.Errorf("read the command: %w", err)
	}
	dir := filepath.Join(s.base, binFolder)
	if err := makeFolder(dir, os.Geteuid(), os.Getegid()); err != nil {
		return err
	}
	s.binary = filepath.Join(dir, filepath.Base(source))
	if err := os.WriteFile(s.binary, content, 0o755); err != nil {
		return fmt.Errorf("copy the command: %w", err)
	}
	if err := os.Chmod(s.binary, 0o755); err != nil { // whatever the umask
		return fmt.Errorf("open the command to all users: %w", err)
	}
	return nil
}

func makeFolder(path string, uid, gid int) error {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return err
	}
	if err := os.Chmod(path, 0o755); err != nil {
		return err
	}
	return os.Lchown(path, uid, gid)
}

func (s *soak) close() {
	if err := os.RemoveAll(s.base); err != nil {
		fmt.Fprintf(s.log, "soak: remove the folder it worked in: %v\n", err)
	}
}

// place makes the folders of a variant, owned by who the command runs as, and
// the watch that looks into them.
func (s *soak) place(v variant) (folders, leftovers.Watch, error) {
	root := filepath.Join(s.base, v.name)
	f := folders{work: filepath.Join(root, "work"), tmp: filepath.Join(root, "tmp"), home: filepath.Join(root, "home")}
	watch := leftovers.Watch{
		Root:    os.Getpid(),
		Mark:    s.mark,
		Folders: leftovers.SharedFolders(),
		Ignore:  append([]string{}, s.ignore...),
	}
	if err := makeFolder(root, os.Geteuid(), os.Getegid()); err != nil {
		return folders{}, watch, fmt.Errorf("make a folder to work in: %w", err)
	}
	uid, gid := v.owner()
	for _, path := range []string{f.work, f.tmp, f.home} {
		if err := makeFolder(path, uid, gid); err != nil {
			return folders{}, watch, fmt.Errorf("make a folder to work in: %w", err)
		}
	}
	for _, path := range []string{f.work, f.tmp, f.home, filepath.Join(s.base, binFolder)} {
		watch.Folders = append(watch.Folders, leftovers.Folder{Path: path, Whole: true, Strict: true})
	}
	for _, allowed := range s.allow {
		watch.Ignore = append(watch.Ignore, filepath.Join(f.work, allowed))
	}
	return f, watch, nil
}

// soakVariant runs a variant as often as was asked for, or until a run is bad.
// Whatever it returns with, the tally holds what was run. An error is soak's own,
// or the context's.
func (s *soak) soakVariant(ctx context.Context, v variant) (t *tally, err error) {
	t = newTally(v.name)
	if t.blocked = v.blocked(); t.blocked != "" {
		fmt.Fprintf(s.log, "soak: %s cannot be run here: %s\n", v.name, t.blocked)
		return t, nil
	}
	place, watch, err := s.place(v)
	if err != nil {
		return t, err
	}
	stopHogs, err := s.startHogs(v.hogs)
	if err != nil {
		return t, err
	}
	defer stopHogs()
	before, err := watch.Take(ctx)
	if err != nil {
		return t, err
	}
	t.unseen = before.Unseen()
	for round := 1; round <= s.rounds; round++ {
		outcomes, err := s.round(ctx, v, place)
		if err != nil {
			return t, err
		}
		// The snapshot after a round is the one before the next, so that what
		// comes late is caught, too.
		after, differences, err := watch.Settle(ctx, before, s.reap)
		if err != nil {
			return t, err
		}
		before = after
		bad := s.record(t, v, round, outcomes, differences)
		if err := s.endStrays(); err != nil {
			return t, err
		}
		if bad && !s.keepGoing {
			return t, nil
		}
	}
	return t, nil
}

// round starts the command, as many at a time as the variant says, and waits for
// all of them. When the context has ended there are no outcomes: a run that was
// stopped says nothing.
func (s *soak) round(ctx context.Context, v variant, place folders) ([]outcome, error) {
	var attempts []*attempt
	var failed error
	for range v.copies {
		a, err := s.start(v, place)
		if err != nil {
			failed = fmt.Errorf("variant %s: %w", v.name, err)
			break
		}
		attempts = append(attempts, a)
	}
	if failed != nil {
		// The others are not to be waited for.
		stopped, cancel := context.WithCancel(ctx)
		cancel()
		ctx = stopped
	}
	results := make([]outcome, len(attempts))
	done := make(chan struct{})
	for i, a := range attempts {
		go func() {
			results[i] = s.wait(ctx, a)
			done <- struct{}{}
		}()
	}
	for range attempts {
		<-done
	}
	for _, a := range attempts {
		delete(s.own, a.cmd.Process.Pid)
	}
	if failed != nil {
		return nil, failed
	}
	return results, ctx.Err()
}

// record adds a round to the tally, says a line about it, and tells whether
// anything was wrong.
func (s *soak) record(t *tally, v variant, round int, outcomes []outcome, differences []leftovers.Difference) bool {
	var left []string
	for _, d := range differences {
		left = append(left, s.withoutBase(d.String()))
	}
	t.addLeft(left)
	bad := len(left) > 0
	for _, o := range outcomes {
		wrong := judge(o, v.expectFails)
		t.add(o, wrong)
		bad = bad || len(wrong) > 0
		verdict := "good"
		if len(wrong) > 0 {
			verdict = "BAD: " + strings.Join(wrong, "; ")
		}
		fmt.Fprintf(s.log, "soak: %s %d/%d: exit %s, %s, %s\n",
			v.name, round, s.rounds, o.exit, o.duration.Round(time.Millisecond), printable(verdict))
	}
	for _, line := range left {
		fmt.Fprintf(s.log, "soak: %s %d/%d: LEFT BEHIND: %s\n", v.name, round, s.rounds, line)
	}
	return bad
}

// withoutBase shortens the names of files in soak's own folder, which say
// nothing to the reader.
func (s *soak) withoutBase(line string) string {
	return strings.ReplaceAll(line, s.base+"/", "")
}

// startHogs starts busy processes on the first CPUs this process may use. The
// returned function ends them.
func (s *soak) startHogs(n int) (stop func(), err error) {
	var hogs []*exec.Cmd
	stop = func() {
		for _, h := range hogs {
			_ = h.Process.Kill()
			_ = h.Wait() // its error says that it was killed
			delete(s.own, h.Process.Pid)
		}
	}
	if n == 0 {
		return stop, nil
	}
	var usable unix.CPUSet
	if err := unix.SchedGetaffinity(0, &usable); err != nil {
		return stop, fmt.Errorf("list the CPUs for hogs: %w", err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < min(n, usable.Count()); cpu++ {
		if usable.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	for i := range n {
		cmd := exec.Command("/proc/self/exe")
		cmd.Args = []string{stageName, hogStep, strconv.Itoa(cpus[i%len(cpus)])}
		cmd.SysProcAttr = variant{}.attributes()
		report, err := s.stage(cmd)
		if cmd.Process != nil {
			hogs = append(hogs, cmd)
		}
		if err == nil && report != "" {
			err = fmt.Errorf("start a hog: %s", report)
		}
		if err != nil {
			stop()
			return stop, err
		}
	}
	return stop, nil
}
