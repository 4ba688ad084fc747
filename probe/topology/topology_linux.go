package topology

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"runtime"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// folder is where the kernel tells of processors.
const folder = "sys/devices/system/cpu"

// Read tells of the processors that the calling thread may run on.
func Read() (Topology, error) {
	allowed, err := Allowed()
	if err != nil {
		return Topology{}, err
	}
	return read(os.DirFS("/"), allowed)
}

func read(root fs.FS, allowed []int) (Topology, error) {
	var t Topology
	for _, number := range allowed {
		dir := path.Join(folder, fmt.Sprintf("cpu%d", number))
		c := CPU{Number: number, LLC: lastLevel(root, dir)}
		var err error
		// Where there is no topology each processor is a core of its own.
		if c.Package, err = readNumber(root, path.Join(dir, "topology/physical_package_id"), 0); err != nil {
			return t, err
		}
		if c.Core, err = readNumber(root, path.Join(dir, "topology/core_id"), number); err != nil {
			return t, err
		}
		t.CPUs = append(t.CPUs, c)
	}
	return t, nil
}

func readNumber(root fs.FS, name string, absent int) (int, error) {
	content, err := fs.ReadFile(root, name)
	if err != nil {
		return absent, nil
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0, fmt.Errorf("/%s: %q is no number", name, content)
	}
	return n, nil
}

// lastLevel is the lowest processor that shares the cache of the highest level.
func lastLevel(root fs.FS, dir string) int {
	caches, _ := fs.Glob(root, path.Join(dir, "cache/index*"))
	highest, lowest := 0, -1
	for _, cache := range caches {
		level, err := readNumber(root, path.Join(cache, "level"), 0)
		if err != nil || level <= highest {
			continue
		}
		content, err := fs.ReadFile(root, path.Join(cache, "shared_cpu_list"))
		if err != nil {
			continue
		}
		first, _, _ := strings.Cut(strings.TrimSpace(string(content)), ",")
		first, _, _ = strings.Cut(first, "-")
		if n, err := strconv.Atoi(first); err == nil {
			highest, lowest = level, n
		}
	}
	return lowest
}

// Allowed are the numbers of the processors that the calling thread may run on
// (sched_getaffinity(2)).
func Allowed() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var cpus []int
	for cpu := range len(set) * 64 {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// On runs f on a thread that stays on one processor, and ends with it.
func On(cpu int, f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocks: the thread ends
		if err := Stay(cpu); err != nil {
			result <- err
			return
		}
		result <- f()
	}()
	return <-result
}

// Stay keeps the calling thread on one processor, or lets it go where it may if
// that is -1. Lock the goroutine to it first.
func Stay(cpu int) error {
	if cpu < 0 {
		return nil
	}
	var set unix.CPUSet
	set.Set(cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("stay on processor %d: %w", cpu, os.NewSyscallError("sched_setaffinity", err))
	}
	return nil
}
