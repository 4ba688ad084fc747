package bench

import (
	"os"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// lookEvery is after how many operations an end asks which processor it is on:
	// the system call costs a tenth of a microsecond.
	lookEvery = 64
	// maxProcessors is how many are told apart.
	maxProcessors = 1024
)

// looks counts on which processors two ends were found.
type looks struct {
	client, server [maxProcessors]atomic.Int64
	last           *atomic.Int64 // the server's processor, and 1
	together, all  atomic.Int64
	page           []byte // that last lies in, where it is shared with another process
}

func newLooks() *looks { return &looks{last: &atomic.Int64{}} }

// share makes a file by which a server that is a process of its own can tell where
// it is (memfd_create(2)).
func (l *looks) share() (*os.File, error) {
	fd, err := unix.MemfdCreate("looks", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "looks")
	if err = f.Truncate(int64(os.Getpagesize())); err == nil {
		err = l.lieIn(f)
	}
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return f, nil
}

// lieIn has the server's processor told by a file that share made.
func (l *looks) lieIn(f *os.File) error {
	page, err := unix.Mmap(int(f.Fd()), 0, os.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return os.NewSyscallError("mmap", err)
	}
	l.page, l.last = page, (*atomic.Int64)(unsafe.Pointer(unsafe.SliceData(page)))
	return nil
}

// close is called when neither end looks any more.
func (l *looks) close() {
	if l != nil && l.page != nil {
		_ = unix.Munmap(l.page)
		l.page, l.last = nil, &atomic.Int64{}
	}
}

// processor is the one that the calling thread runs on, getcpu(2).
func processor() int {
	var cpu uint32
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 || cpu >= maxProcessors {
		return -1
	}
	return int(cpu)
}

func (l *looks) asServer() {
	if cpu := processor(); cpu >= 0 {
		l.server[cpu].Add(1)
		l.last.Store(int64(cpu) + 1)
	}
}

func (l *looks) asClient() {
	cpu := processor()
	if cpu < 0 {
		return
	}
	l.client[cpu].Add(1)
	if last := l.last.Load(); last > 0 {
		l.all.Add(1)
		if last == int64(cpu)+1 {
			l.together.Add(1)
		}
	}
}

// usage tells what was seen so far; a nil looks saw nothing.
func (l *looks) usage() usage {
	u := usage{}
	if l == nil {
		return u
	}
	u.Seen, u.ClientSeen = map[int]int64{}, map[int]int64{}
	for cpu := range l.server {
		if n := l.server[cpu].Load(); n > 0 {
			u.Seen[cpu] = n
		}
		if n := l.client[cpu].Load(); n > 0 {
			u.ClientSeen[cpu] = n
		}
	}
	u.Together, u.Looks = l.together.Load(), l.all.Load()
	return u
}
