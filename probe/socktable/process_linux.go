package socktable

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strconv"
	"unsafe"

	"golang.org/x/sys/unix"
)

// procWalk looks through every process's descriptors. Its buffers serve all of
// them: a busy machine has a hundred thousand.
type procWalk struct {
	proc int // descriptor of /proc
	// One buffer for each directory that is open at a time.
	processes, threads, descriptors []byte
	link                            [64]byte
	text                            []byte

	unreadable int
	sawInit    bool
}

func openProc() (*procWalk, error) {
	fd, err := unix.Open("/proc", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open /proc: %w", err)
	}
	const bufferSize = 32 << 10
	return &procWalk{
		proc:        fd,
		processes:   make([]byte, bufferSize),
		threads:     make([]byte, bufferSize),
		descriptors: make([]byte, bufferSize),
		text:        make([]byte, 4096),
	}, nil
}

func (w *procWalk) close() { _ = unix.Close(w.proc) }

// walk tells the search which process has which socket.
func (w *procWalk) walk(ctx context.Context, s *ownerSearch) error {
	return eachNumber(ctx, w.proc, w.processes, func(pid int, _ []byte) error {
		w.sawInit = w.sawInit || pid == 1
		begin := len(s.holdings)
		owner, err := w.visit(ctx, pid, s)
		if vanished(err) {
			s.holdings = s.holdings[:begin]
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the descriptors of process %d: %w", pid, err)
		}
		if len(s.holdings) > begin {
			s.processes = append(s.processes, owner)
		}
		return nil
	})
}

// visit looks through one process, and says whose it is if it has any of the
// sockets.
func (w *procWalk) visit(ctx context.Context, pid int, s *ownerSearch) (Owner, error) {
	begin := len(s.holdings)
	err := w.process(ctx, pid, s)
	if refused(err) {
		// What it did show before counts; there may be more.
		w.unreadable++
		err = nil
	}
	if err != nil || len(s.holdings) == begin {
		return Owner{}, err
	}
	return w.describe(pid)
}

// process looks through one process's descriptors. All threads share them with
// the first, but that has none any more once it ended before the others.
func (w *procWalk) process(ctx context.Context, pid int, s *ownerSearch) error {
	path := strconv.Itoa(pid)
	some, err := w.sockets(ctx, path+"/fd", s)
	if some || err != nil && !refused(err) {
		return err
	}
	if refused(err) {
		text, statErr := w.read(path + "/stat")
		if vanished(statErr) {
			return statErr
		}
		// Those of an ended thread are refused to its own user too. A thread of
		// the kernel has none.
		if state, kernel := taskState(text); kernel {
			return nil
		} else if state != 'Z' {
			return err
		}
	}
	var stat unix.Stat_t
	if err := unix.Fstatat(w.proc, path+"/task", &stat, 0); err != nil {
		return err
	}
	// A link for each thread, besides the directory's own two.
	if stat.Nlink <= 3 {
		return nil
	}
	return w.threadsOf(ctx, path, s)
}

// threadsOf looks for a thread that has descriptors, and through those.
func (w *procWalk) threadsOf(ctx context.Context, path string, s *ownerSearch) error {
	tasks, err := openDirectory(w.proc, path+"/task")
	if err != nil {
		return err
	}
	defer unix.Close(tasks)
	var refusal error
	done := false
	err = eachNumber(ctx, tasks, w.threads, func(tid int, _ []byte) error {
		if done {
			return nil
		}
		some, err := w.sockets(ctx, path+"/task/"+strconv.Itoa(tid)+"/fd", s)
		switch {
		case some:
			done = true
		case vanished(err):
			return nil
		case refused(err):
			refusal = err
			return nil
		}
		return err
	})
	if err == nil && !done {
		err = refusal
	}
	return err
}

// sockets looks through a directory of descriptors, and says whether there are
// any of whatever sort.
func (w *procWalk) sockets(ctx context.Context, path string, s *ownerSearch) (some bool, err error) {
	dir, err := openDirectory(w.proc, path)
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)
	err = eachNumber(ctx, dir, w.descriptors, func(fd int, name []byte) error {
		some = true
		inode, err := w.socketInode(dir, name)
		if vanished(err) {
			return nil
		}
		if err != nil {
			return err
		}
		if inode != 0 {
			s.found(inode, int32(fd))
		}
		return nil
	})
	return some, err
}

// socketInode reads the link of a descriptor, 0 for one of no socket. The name
// is still where getdents wrote it, with its NUL, which saves a copy of each.
func (w *procWalk) socketInode(dir int, name []byte) (uint32, error) {
	n, _, errno := unix.Syscall6(unix.SYS_READLINKAT, uintptr(dir),
		uintptr(unsafe.Pointer(unsafe.SliceData(name))),
		uintptr(unsafe.Pointer(&w.link[0])), uintptr(len(w.link)), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	digits, ok := bytes.CutPrefix(w.link[:n], []byte("socket:["))
	if !ok {
		return 0, nil
	}
	inode, ok := number(bytes.TrimSuffix(digits, []byte("]")))
	if !ok {
		return 0, nil
	}
	return uint32(inode), nil
}

// describe says whose process it is, as far as it may be read.
func (w *procWalk) describe(pid int) (Owner, error) {
	path := strconv.Itoa(pid)
	owner := Owner{PID: pid, UID: -1}
	status, err := w.read(path + "/status")
	if err != nil && !refused(err) {
		return Owner{}, err
	}
	owner.setStatus(status)
	cgroups, err := w.read(path + "/cgroup")
	// ENOENT is a kernel without cgroups.
	if err != nil && !refused(err) && err != unix.ENOENT {
		return Owner{}, err
	}
	owner.Cgroup = cgroupPath(cgroups)
	return owner, nil
}

// read reads a small file of /proc into the buffer that the next read reuses.
func (w *procWalk) read(path string) ([]byte, error) {
	fd, err := ignoringSignals(func() (int, error) {
		return unix.Openat(w.proc, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	for size := 0; ; {
		if size == len(w.text) {
			w.text = append(w.text, make([]byte, size)...)
		}
		n, err := ignoringSignals(func() (int, error) { return unix.Read(fd, w.text[size:]) })
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return w.text[:size], nil
		}
		size += n
	}
}

func openDirectory(at int, path string) (int, error) {
	return ignoringSignals(func() (int, error) {
		return unix.Openat(at, path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
}

func ignoringSignals(call func() (int, error)) (int, error) {
	for {
		n, err := call()
		if err != unix.EINTR {
			return n, err
		}
	}
}

// vanished says that a process or descriptor was there and is no more.
func vanished(err error) bool { return err == unix.ENOENT || err == unix.ESRCH }

func refused(err error) bool { return err == unix.EACCES || err == unix.EPERM }

// eachNumber calls visit for every entry of a directory whose name is a
// number: a process, thread or descriptor. The name is followed by a NUL, and
// good until visit returns. It ends early with the context.
func eachNumber(ctx context.Context, dir int, buffer []byte, visit func(n int, name []byte) error) error {
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		size, err := ignoringSignals(func() (int, error) { return unix.Getdents(dir, buffer) })
		if err != nil || size == 0 {
			return err
		}
		for entries := buffer[:size]; len(entries) > 0; {
			var name []byte
			name, entries = nextEntry(entries)
			n, ok := number(name)
			if !ok {
				continue
			}
			if err := visit(int(n), name); err != nil {
				return err
			}
		}
	}
}

// nextEntry takes the name of the first struct linux_dirent64 (getdents(2)).
func nextEntry(entries []byte) (name, rest []byte) {
	const nameOffset = int(unsafe.Offsetof(unix.Dirent{}.Name))
	// unix.Dirent is as long as the longest entry, so that a short one at the end
	// of the buffer is none.
	length := binary.NativeEndian.Uint16(entries[unsafe.Offsetof(unix.Dirent{}.Reclen):])
	name = entries[nameOffset:length]
	if end := bytes.IndexByte(name, 0); end >= 0 {
		name = name[:end]
	}
	return name, entries[length:]
}

// number reads a decimal number of at most ten digits, as inodes have.
func number(b []byte) (uint64, bool) {
	if len(b) == 0 || len(b) > 10 {
		return 0, false
	}
	var n uint64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return n, true
}
