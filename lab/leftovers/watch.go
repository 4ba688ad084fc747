package leftovers

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Watch says how the traces of a command are told from those of everything
// else on the machine, and which folders it may have left files in.
type Watch struct {
	// Root is the process whose descendants count as the command's, not counting
	// itself; 0 means none. To keep descendants whose parents ended, it has to be
	// a child subreaper (PR_SET_CHILD_SUBREAPER in prctl(2)).
	Root int
	// Mark is an environment variable, NAME=value, that the command was started
	// with. It finds descendants that were handed to another reaper. Empty means
	// none.
	Mark string
	// Folders are looked into for files; see SharedFolders.
	Folders []Folder
	// Ignore lists glob patterns (path/filepath.Match) of absolute paths that
	// may come, go and change, such as a folder of reports; with a folder goes
	// what is in it.
	Ignore []string
	// Patience is how long Settle waits; SettleDeadline if it is 0.
	Patience time.Duration
}

// Folder is a place where a command may leave files.
type Folder struct {
	Path string
	// Whole looks into all folders below; without it only direct entries count.
	Whole bool
	// Strict says that nobody else works here: entries that changed or are gone
	// are reported too.
	Strict bool
}

// SharedFolders are the places where programs of a Linux machine leave files
// by habit. All but /etc are written to by others, so that only what is new in
// them is reported, and not where another process has it open.
func SharedFolders() []Folder {
	folders := []Folder{{Path: "/etc", Strict: true}}
	var known []string
	for _, path := range []string{os.TempDir(), "/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue", "/run"} {
		path = filepath.Clean(path)
		if !slices.Contains(known, path) {
			known = append(known, path)
			folders = append(folders, Folder{Path: path})
		}
	}
	return folders
}

// Proc is a process that a Watch traces to the command.
type Proc struct {
	PID int
	// Start is when it was started, in clock ticks since boot (field 22 in
	// proc_pid_stat(5)). It tells it from a later process of the same PID.
	Start uint64
	// PPID is its parent.
	PPID int
	// State is the letter of proc_pid_stat(5), 'Z' for a zombie.
	State   byte
	Comm    string
	Cmdline string
}

func (p Proc) String() string {
	if p.State == 'Z' {
		return fmt.Sprintf("pid %d (%s, zombie)", p.PID, p.Comm)
	}
	return fmt.Sprintf("pid %d (%s)", p.PID, p.Comm)
}

// SettleDeadline is how long things that are on their way out when a command
// ends may take: a zombie its parent has yet to reap, a namespace that a kernel
// worker tears down, a socket that closes. Milliseconds, where no neighbour has the
// processors.
const SettleDeadline = 5 * time.Second

// settleInterval is the pause between two looks. A look takes some tens of
// milliseconds itself.
const settleInterval = 20 * time.Millisecond

// Settle takes snapshots until one shows no difference from the first, or until
// its patience is over, and returns the last with its differences. Before
// each it calls reap, where the caller collects orphans it has inherited; reap
// may be nil.
//
// It fails where Take fails, and with the context's error when that ends.
func (w Watch) Settle(ctx context.Context, before Snapshot, reap func()) (Snapshot, []Difference, error) {
	deadline := time.Now().Add(cmp.Or(w.Patience, SettleDeadline))
	pause := time.NewTicker(settleInterval)
	defer pause.Stop()
	for {
		if reap != nil {
			reap()
		}
		after, err := w.Take(ctx)
		if err != nil {
			return Snapshot{}, nil, err
		}
		differences := Compare(before, after)
		if len(differences) == 0 || !time.Now().Before(deadline) {
			return after, differences, nil
		}
		select {
		case <-ctx.Done():
			return after, differences, ctx.Err()
		case <-pause.C:
		}
	}
}

func (w Watch) ignores(path string) bool {
	return slices.ContainsFunc(w.Ignore, func(pattern string) bool {
		match, err := filepath.Match(pattern, path)
		return match && err == nil
	})
}

// validate finds the mistakes of the caller that would make a Take prove less
// than it seems to.
func (w Watch) validate() error {
	for _, pattern := range w.Ignore {
		if _, err := filepath.Match(pattern, "/"); err != nil {
			return fmt.Errorf("ignore %q: %w", pattern, err)
		}
	}
	for _, folder := range w.Folders {
		if !filepath.IsAbs(folder.Path) {
			return fmt.Errorf("watch folder %q: the path has to be absolute", folder.Path)
		}
	}
	return nil
}
