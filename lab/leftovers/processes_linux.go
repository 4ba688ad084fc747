package leftovers

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is a process of the machine.
type process struct {
	Proc
	// ours says that it is the command's, or the watching Root itself.
	ours   bool
	marked bool
}

// holder is what keeps a namespace: a process that is in it or has it open.
type holder struct {
	*process
	how string
}

// census is what all processes of the machine have to do with the watched
// command: which are its own, and who holds which socket, namespace and path.
type census struct {
	root       int
	processes  map[int]*process
	sockets    map[string][]*process // by the link text "socket:[inode]"
	namespaces map[string][]holder   // by the link text "net:[inode]"
	// paths holds what processes of others work with: open files, working
	// folders, executables.
	paths map[string]bool
	// hidden counts the processes whose descriptors may not be read.
	hidden int
}

// namespaceKinds are the prefixes of links to namespaces, see namespaces(7).
var namespaceKinds = []string{"cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"}

// takeCensus reads /proc. Processes that end while it does are left out.
func takeCensus(w Watch) (*census, error) {
	processes, err := listProcesses(w)
	if err != nil {
		return nil, err
	}
	c := &census{
		root:       w.Root,
		processes:  processes,
		sockets:    map[string][]*process{},
		namespaces: map[string][]holder{},
		paths:      map[string]bool{},
	}
	for _, p := range processes {
		c.holdings(p)
	}
	return c, nil
}

// listProcesses reads every process and tells those of the command.
func listProcesses(w Watch) (map[int]*process, error) {
	dir, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	processes := map[int]*process{}
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil {
			continue
		}
		if p, ok := readProcess(pid, w.Mark); ok {
			processes[pid] = p
		}
	}
	for _, p := range processes {
		p.ours = descends(processes, p, w.Root)
	}
	return processes, nil
}

// descends says whether the process, or one it descends from, is the root or
// carries the mark.
func descends(processes map[int]*process, p *process, root int) bool {
	// The bound only matters if processes end and PIDs are given anew while they
	// are being read, so that parents form a circle.
	for range len(processes) {
		if p.marked || (root != 0 && p.PID == root) {
			return true
		}
		parent, ok := processes[p.PPID]
		if !ok {
			return false
		}
		p = parent
	}
	return false
}

// maxCmdline bounds the command line that is shown, in bytes.
const maxCmdline = 200

// readProcess reads one process; ok is false if it is gone.
func readProcess(pid int, mark string) (p *process, ok bool) {
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return nil, false
	}
	parsed, err := parseStat(string(stat))
	if err != nil {
		return nil, false
	}
	p = &process{Proc: parsed}
	if cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline")); err == nil {
		cmdline = bytes.TrimRight(cmdline[:min(len(cmdline), maxCmdline)], "\x00")
		p.Cmdline = string(bytes.ReplaceAll(cmdline, []byte{0}, []byte{' '}))
	}
	if mark != "" {
		if environ, err := os.ReadFile(filepath.Join(dir, "environ")); err == nil {
			p.marked = slices.Contains(strings.Split(string(environ), "\x00"), mark)
		}
	}
	return p, true
}

// parseStat reads a line of /proc/PID/stat. The name in it is the process's
// own choice and may hold spaces and brackets: it ends at the last bracket.
func parseStat(line string) (Proc, error) {
	open, end := strings.IndexByte(line, '('), strings.LastIndexByte(line, ')')
	if open < 0 || end < open {
		return Proc{}, fmt.Errorf("no name in %q", line)
	}
	fields := strings.Fields(line[end+1:])
	if len(fields) < 20 {
		return Proc{}, fmt.Errorf("too few fields in %q", line)
	}
	pid, err1 := strconv.Atoi(strings.TrimSpace(line[:open]))
	ppid, err2 := strconv.Atoi(fields[1])
	start, err3 := strconv.ParseUint(fields[19], 10, 64)
	if err := cmp.Or(err1, err2, err3); err != nil {
		return Proc{}, fmt.Errorf("parse %q: %w", line, err)
	}
	return Proc{PID: pid, PPID: ppid, Start: start, State: fields[0][0], Comm: line[open+1 : end]}, nil
}

// holdings records which sockets, namespaces and paths a process holds.
func (c *census) holdings(p *process) {
	dir := filepath.Join("/proc", strconv.Itoa(p.PID))
	c.namespacesOf(p, filepath.Join(dir, "ns"), "")
	if p.ours {
		// A thread may have left the namespaces of its process.
		tasks, _ := filepath.Glob(filepath.Join(dir, "task", "*"))
		for _, task := range tasks {
			c.namespacesOf(p, filepath.Join(task, "ns"), "a thread of ")
		}
	}
	if !p.ours {
		for _, link := range []string{"cwd", "exe"} {
			if target, err := os.Readlink(filepath.Join(dir, link)); err == nil {
				c.paths[target] = true
			}
		}
	}
	descriptors, err := readNames(filepath.Join(dir, "fd"))
	if errors.Is(err, fs.ErrPermission) {
		c.hidden++
	}
	for _, fd := range descriptors {
		target, err := os.Readlink(filepath.Join(dir, "fd", fd))
		if err != nil {
			continue
		}
		kind, _, isLink := strings.Cut(target, ":[")
		switch {
		case strings.HasPrefix(target, "/"):
			if !p.ours {
				c.paths[target] = true
			}
		case isLink && kind == "socket":
			c.sockets[target] = append(c.sockets[target], p)
		case isLink && slices.Contains(namespaceKinds, kind):
			c.hold(target, holder{p, "descriptor " + fd + " of "})
		}
	}
}

func (c *census) namespacesOf(p *process, dir, how string) {
	names, err := readNames(dir)
	if err != nil {
		return
	}
	for _, name := range names {
		if target, err := os.Readlink(filepath.Join(dir, name)); err == nil {
			c.hold(target, holder{p, how})
		}
	}
}

func (c *census) hold(namespace string, by holder) {
	if !slices.ContainsFunc(c.namespaces[namespace], func(h holder) bool { return h.process == by.process }) {
		c.namespaces[namespace] = append(c.namespaces[namespace], by)
	}
}

// readNames lists a folder of /proc, where a process that ends in mid-list
// ends the list.
func readNames(dir string) ([]string, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil && !errors.Is(err, io.EOF) {
		return names, err
	}
	return names, nil
}

func (c *census) processArea() area {
	a := newArea()
	for _, p := range c.processes {
		if p.PID == c.root {
			continue
		}
		name := p.String()
		if p.Cmdline != "" {
			name += fmt.Sprintf(", %q", p.Cmdline)
		}
		a.add(fmt.Sprintf("%d/%d", p.PID, p.Start), entry{name: name, foreign: !p.ours})
	}
	return a
}

// namespaceArea lists the namespaces that processes are in or have open, and
// those that only a bind mount keeps. A namespace without either is on its way
// out in the kernel.
func (c *census) namespaceArea(pins map[string][]string) area {
	a := newArea()
	if c.hidden > 0 {
		a.note("those held only by %d processes of other users (needs root)", c.hidden)
	}
	for namespace, holders := range c.namespaces {
		var mine []string
		for _, h := range holders {
			if h.ours {
				mine = append(mine, h.how+h.String())
			}
		}
		slices.Sort(mine)
		owned := len(mine)
		for _, mountpoint := range pins[namespace] {
			mine = append(mine, "the mount "+mountpoint)
		}
		a.add(namespace, entry{
			name:    fmt.Sprintf("%s, kept by %s", namespace, strings.Join(mine, ", ")),
			foreign: len(mine) == 0,
			alone:   owned == len(holders),
		})
	}
	for namespace, mountpoints := range pins {
		if _, held := c.namespaces[namespace]; !held {
			a.add(namespace, entry{name: fmt.Sprintf("%s, kept by the mount %s alone", namespace, strings.Join(mountpoints, ", "))})
		}
	}
	return a
}

// Processes lists the processes that are the command's, without Root, by PID.
func (w Watch) Processes() ([]Proc, error) {
	processes, err := listProcesses(w)
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	var ours []Proc
	for _, p := range processes {
		if p.ours && p.PID != w.Root {
			ours = append(ours, p.Proc)
		}
	}
	slices.SortFunc(ours, func(a, b Proc) int { return cmp.Compare(a.PID, b.PID) })
	return ours, nil
}
