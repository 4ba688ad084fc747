package process

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Room is a limit of how many processes and threads there may be, which holds
// for this process, and how many there are.
type Room struct {
	// Group is the folder of the control group whose pids.max it is
	// (Documentation/admin-guide/cgroup-v2.rst), without the root's slash; empty
	// for RLIMIT_NPROC (getrlimit(2)) of the user UID.
	Group string
	UID   int
	Limit
	// Running counts threads, to which both limits apply.
	Running uint64
}

// UsualRoom is how many threads a small service takes on a machine with few
// processors: a Java virtual machine some 30, a database or web server with its
// workers about as many again.
const UsualRoom = 64

// Left is how many more there may be.
func (r Room) Left() uint64 { return r.Soft - min(r.Soft, r.Running) }

// Rooms are the limits of processes that hold for a process with these rights
// and limits, in a file system tree that has its /proc and /sys: of its user,
// unless that is root or may exceed it, and of the control groups that it is in.
func Rooms(files fs.FS, rights Status, limits map[string]Limit) []Room {
	var rooms []Room
	limit, known := limits[MaxProcesses]
	if known && limit.Soft != Unlimited && rights.UID != 0 && !rights.Effective.Has(SysResource) && !rights.Effective.Has(SysAdmin) {
		rooms = append(rooms, Room{UID: rights.UID, Limit: limit, Running: threadsOf(files, rights.UID)})
	}
	for _, folder := range ControlGroups(files, "pids") {
		most, err := ReadCount(files, path.Join(folder, "pids.max"))
		if err != nil {
			continue // "max"
		}
		running, err := ReadCount(files, path.Join(folder, "pids.current"))
		if err != nil {
			continue
		}
		rooms = append(rooms, Room{Group: folder, Limit: Limit{Soft: most, Hard: most}, Running: running})
	}
	return rooms
}

// threadsOf counts the threads of a user, as far as /proc shows them.
func threadsOf(files fs.FS, uid int) uint64 {
	var count uint64
	statuses, _ := fs.Glob(files, "proc/[0-9]*/status")
	for _, name := range statuses {
		text, err := fs.ReadFile(files, name)
		if err != nil || Parse(string(text)).UID != uid {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if rest, is := strings.CutPrefix(line, "Threads:"); is {
				threads, _ := strconv.ParseUint(strings.TrimSpace(rest), 10, 32)
				count += threads
			}
		}
	}
	return count
}

// ControlGroups are the folders of the control group that this process is in and
// of those around it, the inner ones first, in the hierarchy that has a
// controller (cgroups(7)): the one of version 2, or the controller's own of
// version 1. Inside of a container the paths may be those of the machine, which
// are not there; then the root of what is mounted is the container's.
func ControlGroups(files fs.FS, controller string) []string {
	text, err := fs.ReadFile(files, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var folders []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		var roots []string
		switch {
		case fields[0] == "0" && fields[1] == "":
			roots = []string{"sys/fs/cgroup", "sys/fs/cgroup/unified"}
		case slices.Contains(strings.Split(fields[1], ","), controller):
			roots = []string{"sys/fs/cgroup/" + controller, "sys/fs/cgroup/" + fields[1]}
		}
		for _, root := range roots {
			for inner := path.Join("/", fields[2]); ; inner = path.Dir(inner) {
				folder := path.Join(root, inner)
				if _, err := fs.Stat(files, folder); err == nil && !slices.Contains(folders, folder) {
					folders = append(folders, folder)
				}
				if inner == "/" {
					break
				}
			}
		}
	}
	return folders
}

// ReadCount reads a file with one number.
func ReadCount(files fs.FS, name string) (uint64, error) {
	text, err := fs.ReadFile(files, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
}
