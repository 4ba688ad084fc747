package host

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// maxCPUs is far above what any kernel is built for (NR_CPUS is at most 8192),
// so that a damaged list cannot make us allocate without end.
const maxCPUs = 1 << 16

// allowedCPUs asks sched_getaffinity(2) for the processors this process may
// run on. Nil means that it cannot be told.
func allowedCPUs() []int {
	set := unix.NewCPUSet(maxCPUs)
	if unix.SchedGetaffinityDynamic(0, set) != nil {
		return nil
	}
	var allowed []int
	for n := range maxCPUs {
		if set.IsSet(n) {
			allowed = append(allowed, n)
		}
	}
	return allowed
}

// parseCPUInfo splits /proc/cpuinfo into its blocks, the value of each by its
// key. Most architectures have a block for every processor, some one more for
// the machine.
func parseCPUInfo(text string) []map[string]string {
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

// cpus describes the allowed processors, or all that /proc/cpuinfo and the
// runtime know of where the allowed ones cannot be told.
func (r root) cpus(blocks []map[string]string, allowed []int) []CPU {
	byNumber := map[int]map[string]string{}
	for _, block := range blocks {
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

	topology := newTopology(r)
	found := make([]CPU, 0, len(allowed))
	for _, n := range allowed {
		found = append(found, CPU{
			Number: n,
			Model:  model(byNumber[n]),
			Core:   topology.core(n, byNumber[n]),
			Socket: topology.socket(n, byNumber[n]),
			LLC:    topology.lastLevelCache(n),
		})
	}
	return found
}

// model names a processor by what its architecture writes into /proc/cpuinfo.
func model(block map[string]string) string {
	named := cmp.Or(
		block["model name"], // x86, and arm64 in a 32-bit personality
		block["cpu model"],  // mips
		block["cpu"],        // powerpc
		block["uarch"],      // riscv
	)
	if named != "" {
		return named
	}
	implementer, part := block["CPU implementer"], block["CPU part"]
	if implementer == "" || part == "" {
		return ""
	}
	if name, known := armCores[implementer+" "+part]; known {
		return name
	}
	return fmt.Sprintf("Arm implementer %s part %s", implementer, part)
}

// armCores names the 64-bit Arm cores that servers and developers' boards have
// by the implementer and part number of MIDR_EL1, from the technical reference
// manual of each.
var armCores = map[string]string{
	"0x41 0xd03": "Cortex-A53",
	"0x41 0xd05": "Cortex-A55",
	"0x41 0xd08": "Cortex-A72",
	"0x41 0xd0b": "Cortex-A76",
	"0x41 0xd0c": "Neoverse-N1",
	"0x41 0xd40": "Neoverse-V1",
	"0x41 0xd49": "Neoverse-N2",
	"0x41 0xd4f": "Neoverse-V2",
	"0x41 0xd8e": "Neoverse-N3",
	"0x41 0xd84": "Neoverse-V3",
	"0xc0 0xac3": "Ampere-1",
	"0xc0 0xac4": "Ampere-1A",
}

// topology reads /sys/devices/system/cpu, Documentation/admin-guide/cputopology.rst.
// What processors share is read once and kept for all of them: a machine with
// hundreds of processors has thousands of such files.
type topology struct {
	root
	cores, sockets map[int]int
	caches         map[int]string
}

func newTopology(r root) *topology {
	return &topology{r, map[int]int{}, map[int]int{}, map[int]string{}}
}

func cpuFolder(n int) string {
	return "sys/devices/system/cpu/cpu" + strconv.Itoa(n)
}

// core names a core by the lowest processor on it. The kernel's core_id would
// not do: on processors of several dies it repeats within a socket.
func (t *topology) core(n int, block map[string]string) int {
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
func (t *topology) socket(n int, block map[string]string) int {
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
func (t *topology) lastLevelCache(n int) string {
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
