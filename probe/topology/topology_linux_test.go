package topology

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unsafe"

	"golang.org/x/sys/unix"
)

const folder = "sys/devices/system/cpu"

// server is two packages of two caches each, of two cores with two threads each:
// threads of a core are eight apart, as Linux numbers them.
func server() fstest.MapFS {
	root := fstest.MapFS{}
	file := func(cpu int, name, content string) {
		root[fmt.Sprintf("%s/cpu%d/%s", folder, cpu, name)] = &fstest.MapFile{Data: []byte(content + "\n")}
	}
	for cpu := range 16 {
		core := cpu % 8
		file(cpu, "topology/physical_package_id", fmt.Sprint(core/4))
		file(cpu, "topology/core_id", fmt.Sprint(core%2)) // of its die: four cores have each number
		file(cpu, "topology/core_cpus_list", fmt.Sprintf("%d,%d", core, core+8))
		file(cpu, "cache/index0/level", "1")
		file(cpu, "cache/index0/shared_cpu_list", fmt.Sprintf("%d,%d", core, core+8))
		first := core / 2 * 2
		file(cpu, "cache/index1/level", "3")
		file(cpu, "cache/index1/shared_cpu_list", fmt.Sprintf("%d-%d,%d-%d", first, first+1, first+8, first+9))
	}
	return root
}

func upTo(n int) []int {
	var cpus []int
	for cpu := range n {
		cpus = append(cpus, cpu)
	}
	return cpus
}

func TestPlacements(t *testing.T) {
	all := Of(server(), upTo(16))
	for placement, want := range map[Placement]Pair{
		Free:        {Free, -1, -1},
		SameCore:    {SameCore, 15, 15},
		SMTSibling:  {SMTSibling, 15, 7},
		SameLLC:     {SameLLC, 15, 14},
		CrossLLC:    {CrossLLC, 15, 13},
		CrossSocket: {CrossSocket, 15, 11},
		CrossCore:   {SameLLC, 15, 14},
	} {
		if got, err := all.Pair(placement); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", placement, got, err, want)
		}
	}
	if got := all.Placements(); !slices.Equal(got, []Placement{Free, SameCore, SMTSibling, SameLLC, CrossLLC, CrossSocket}) {
		t.Errorf("there are %v", got)
	}
}

func TestPlacementsOfSomeProcessors(t *testing.T) {
	for name, c := range map[string]struct {
		allowed []int
		nearest Placement // of CrossCore; "" where there is none
	}{
		"one":             {[]int{3}, ""},
		"threads":         {[]int{3, 11}, ""},
		"one cache":       {[]int{2, 3}, SameLLC},
		"two caches":      {[]int{1, 2}, CrossLLC},
		"two packages":    {[]int{1, 4}, CrossSocket},
		"caches, sockets": {[]int{1, 2, 4}, CrossLLC},
	} {
		t.Run(name, func(t *testing.T) {
			some := Of(server(), c.allowed)
			got, err := some.Pair(CrossCore)
			unavailable, is := errors.AsType[*UnavailableError](err)
			switch {
			case c.nearest == "" && (!is || !strings.Contains(unavailable.Error(), "there is free, same-core")):
				t.Errorf("%+v, %v", got, err)
			case c.nearest != "" && (got.Placement != c.nearest || !slices.Contains(c.allowed, got.Client) || !slices.Contains(c.allowed, got.Server)):
				t.Errorf("%+v, %v, want %s", got, err, c.nearest)
			}
		})
	}
}

// A machine that tells nothing has cores of their own.
func TestNothingTold(t *testing.T) {
	some := Of(fstest.MapFS{}, upTo(2))
	if got, err := some.Pair(CrossCore); err != nil || got != (Pair{CrossLLC, 1, 0}) {
		t.Errorf("%+v, %v", got, err)
	}
	broken := server()
	broken[folder+"/cpu0/topology/core_cpus_list"].Data = []byte("many")
	broken[folder+"/cpu0/topology/physical_package_id"].Data = []byte("-7")
	if got := Of(broken, upTo(1)).CPUs[0]; got.Core != 0 || got.Socket != 0 {
		t.Errorf("%+v", got)
	}
}

func TestAllowedProcessorsFollowTheAffinity(t *testing.T) {
	allowed, err := Allowed()
	if err != nil {
		t.Fatal(err)
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		t.Skipf("affinity of a machine of more than 1024 processors: %v", err)
	}
	if len(allowed) != set.Count() {
		t.Errorf("%d processors, want %d", len(allowed), set.Count())
	}
	for _, n := range allowed {
		if !set.IsSet(n) {
			t.Errorf("processor %d is listed, and not in the affinity mask", n)
		}
	}
}

func TestParseCPUList(t *testing.T) {
	for list, want := range map[string][]int{
		"0":         {0},
		"0-3":       {0, 1, 2, 3},
		"0-1,8,10":  {0, 1, 8, 10},
		"":          nil,
		"3-1":       nil,
		"1,1":       nil,
		"-1":        nil,
		"0-9999999": nil,
		"0-":        nil,
		"a":         nil,
	} {
		if got := parseCPUList(list); !slices.Equal(got, want) {
			t.Errorf("%q: %v, want %v", list, got, want)
		}
	}
}

// Nothing in /proc or /sys may bring the reading down, whatever the kernel or a
// container runtime puts there.
func FuzzOf(f *testing.F) {
	f.Add("processor\t: 0\nmodel name\t: Intel\nflags\t: fpu hypervisor\n\nprocessor\t: 1\n", "0-1")
	f.Add("processor: 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n", "0,2-3")
	f.Add("processor : -5\ncore id : -1\nphysical id : 99999999999999999999\n", "1-0")
	f.Add(":::\n\n:\nprocessor 0: version = FF\n", ",")
	f.Fuzz(func(t *testing.T, cpuinfo, list string) {
		root := fstest.MapFS{"proc/cpuinfo": {Data: []byte(cpuinfo)}}
		for _, name := range []string{"topology/core_cpus_list", "topology/package_cpus_list", "topology/physical_package_id", "cache/index0/shared_cpu_list"} {
			root[folder+"/cpu0/"+name] = &fstest.MapFile{Data: []byte(list)}
		}
		root[folder+"/cpu0/cache/index0/level"] = &fstest.MapFile{Data: []byte("3")}
		cpus := Of(root, nil).CPUs
		if len(cpus) == 0 {
			t.Error("no processor at all")
		}
		for i, c := range cpus {
			if c.Core < 0 || c.Socket < 0 || i > 0 && c.Number <= cpus[i-1].Number {
				t.Errorf("processor %d of %+v", i, cpus)
			}
		}
	})
}

func TestThisMachine(t *testing.T) {
	all, err := Read()
	if err != nil || len(all.CPUs) == 0 {
		t.Fatal(all, err)
	}
	pair, err := all.Pair(SameCore)
	if err != nil {
		t.Fatal(err)
	}
	err = On(pair.Client, func() error {
		var cpu uint32
		if _, _, errno := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); errno != 0 {
			return errno
		}
		if int(cpu) != pair.Client {
			return fmt.Errorf("on processor %d", cpu)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := On(1<<20, func() error { return nil }); err == nil {
		t.Error("a thread stays on a processor that is not there")
	}
}
