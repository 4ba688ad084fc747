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
		file(cpu, "topology/core_id", fmt.Sprint(core%4))
		file(cpu, "cache/index0/level", "1")
		file(cpu, "cache/index0/shared_cpu_list", fmt.Sprintf("%d,%d", core, core+8))
		first := core / 2 * 2
		file(cpu, "cache/index3/level", "3")
		file(cpu, "cache/index3/shared_cpu_list", fmt.Sprintf("%d-%d,%d-%d", first, first+1, first+8, first+9))
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
	all, err := read(server(), upTo(16))
	if err != nil {
		t.Fatal(err)
	}
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
			some, err := read(server(), c.allowed)
			if err != nil {
				t.Fatal(err)
			}
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
	some, err := read(fstest.MapFS{}, upTo(2))
	if err != nil {
		t.Fatal(err)
	}
	if got, err := some.Pair(CrossCore); err != nil || got != (Pair{CrossLLC, 1, 0}) {
		t.Errorf("%+v, %v", got, err)
	}
	broken := server()
	broken[folder+"/cpu0/topology/core_id"].Data = []byte("many")
	if _, err := read(broken, upTo(1)); err == nil {
		t.Error("a core without a number is read")
	}
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
