package topology

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxCPUs is far above what any kernel is built for (NR_CPUS is at most 8192),
// so that a damaged list cannot make us allocate without end.
const maxCPUs = 1 << 16

// Read tells of the processors that the calling thread may run on.
func Read() (Topology, error) {
	allowed, err := Allowed()
	if err != nil {
		return Topology{}, err
	}
	return Of(os.DirFS("/"), allowed), nil
}

// Of tells of processors by the files of a machine, or of all that its
// /proc/cpuinfo and the runtime know of where none are given. Where the files do
// not tell, each processor is a core of its own, on one socket.
func Of(root fs.FS, allowed []int) Topology {
	r := newReader(root)
	byNumber := map[int]map[string]string{}
	for _, block := range ParseCPUInfo(r.text("proc/cpuinfo")) {
		if n, err := strconv.Atoi(block["processor"]); err == nil && n >= 0 && n < maxCPUs {
			byNumber[n] = block
		}
	}
	if allowed == nil {
		for n := range byNumber {
			allowed = append(allowed, n)
		}
		slices.Sort(allowed)
	}
	if allowed == nil {
		for n := range runtime.NumCPU() {
			allowed = append(allowed, n)
		}
	}
	t := Topology{CPUs: make([]CPU, 0, len(allowed))}
	for _, n := range allowed {
		t.CPUs = append(t.CPUs, CPU{
			Number: n, Core: r.core(n, byNumber[n]), Socket: r.socket(n, byNumber[n]), LLC: r.lastLevelCache(n),
			Info: byNumber[n],
		})
	}
	return t
}

// ParseCPUInfo splits /proc/cpuinfo into its blocks, the value of each by its
// key. Most architectures have a block for every processor, some one more for
// the machine.
func ParseCPUInfo(text string) []map[string]string {
	var blocks []map[string]string
	var block map[string]string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(line, ":")
		if !ok {
			block = nil
			continue
		}
		if block == nil {
			block = map[string]string{}
			blocks = append(blocks, block)
		}
		block[strings.TrimSpace(key)] = strings.TrimSpace(value)
	}
	return blocks
}

// reader reads /sys/devices/system/cpu, Documentation/admin-guide/cputopology.rst.
// What processors share is read once and kept for all of them: a machine with
// hundreds of processors has thousands of such files.
type reader struct {
	files          fs.FS
	cores, sockets map[int]int
	caches         map[int]string
}

func newReader(files fs.FS) *reader {
	return &reader{files, map[int]int{}, map[int]int{}, map[int]string{}}
}

// text returns a file's content without the white space around it. What cannot
// be read counts as empty.
func (t *reader) text(path string) string {
	content, err := fs.ReadFile(t.files, path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(content))
}

func cpuFolder(n int) string {
	return "sys/devices/system/cpu/cpu" + strconv.Itoa(n)
}

// core names a core by the lowest processor on it. The kernel's core_id would
// not do: on processors of several dies it repeats within a socket.
func (t *reader) core(n int, block map[string]string) int {
	if core, known := t.cores[n]; known {
		return core
	}
	folder := cpuFolder(n) + "/topology/"
	siblings := parseCPUList(cmp.Or(t.text(folder+"core_cpus_list"), t.text(folder+"thread_siblings_list")))
	if slices.Contains(siblings, n) {
		for _, sibling := range siblings {
			t.cores[sibling] = siblings[0]
		}
		return siblings[0]
	}
	if core, err := strconv.Atoi(block["core id"]); err == nil && core >= 0 {
		return core
	}
	return n
}

// socket is 0 where the machine does not tell, as most Arm boards do not.
func (t *reader) socket(n int, block map[string]string) int {
	if socket, known := t.sockets[n]; known {
		return socket
	}
	folder := cpuFolder(n) + "/topology/"
	socket, err := strconv.Atoi(cmp.Or(t.text(folder+"physical_package_id"), block["physical id"]))
	if err != nil || socket < 0 {
		return 0
	}
	for _, other := range parseCPUList(cmp.Or(t.text(folder+"package_cpus_list"), t.text(folder+"core_siblings_list"))) {
		t.sockets[other] = socket
	}
	return socket
}

// maxCaches bounds the search: processors have three to five caches each.
const maxCaches = 16

// lastLevelCache lists the processors that share the highest cache that holds
// data with processor n.
func (t *reader) lastLevelCache(n int) string {
	if list, known := t.caches[n]; known {
		return list
	}
	shared, highest := "", 0
	for i := range maxCaches {
		folder := fmt.Sprintf("%s/cache/index%d/", cpuFolder(n), i)
		level, err := strconv.Atoi(t.text(folder + "level"))
		if err != nil {
			break
		}
		if level > highest && t.text(folder+"type") != "Instruction" {
			shared, highest = t.text(folder+"shared_cpu_list"), level
		}
	}
	for _, other := range parseCPUList(shared) {
		t.caches[other] = shared
	}
	return shared
}

// parseCPUList reads the kernel's list form such as "0-3,8", ascending. It
// returns nil for anything else.
func parseCPUList(list string) []int {
	var found []int
	for part := range strings.SplitSeq(list, ",") {
		low, high, isRange := strings.Cut(part, "-")
		first, err := strconv.Atoi(low)
		last := first
		if err == nil && isRange {
			last, err = strconv.Atoi(high)
		}
		if err != nil || first < 0 || last < first || last >= maxCPUs || len(found) > 0 && first <= found[len(found)-1] {
			return nil
		}
		for n := first; n <= last; n++ {
			found = append(found, n)
		}
	}
	return found
}

// Allowed are the numbers of the processors that the calling thread may run on
// (sched_getaffinity(2)).
func Allowed() ([]int, error) {
	set := unix.NewCPUSet(maxCPUs)
	if err := unix.SchedGetaffinityDynamic(0, set); err != nil {
		return nil, os.NewSyscallError("sched_getaffinity", err)
	}
	var allowed []int
	for n := range maxCPUs {
		if set.IsSet(n) {
			allowed = append(allowed, n)
		}
	}
	return allowed, nil
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
	set := unix.NewCPUSet(cpu + 1)
	set.Set(cpu)
	if err := unix.SchedSetaffinityDynamic(0, set); err != nil {
		return fmt.Errorf("stay on processor %d: %w", cpu, os.NewSyscallError("sched_setaffinity", err))
	}
	return nil
}
