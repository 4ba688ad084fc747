package host

import (
	"testing"
)

// Nothing in /proc may bring the reading down, whatever the kernel or a
// container runtime puts there.
func FuzzCPUInfo(f *testing.F) {
	f.Add("processor\t: 0\nmodel name\t: Intel\nflags\t: fpu hypervisor\n\nprocessor\t: 1\n", "0-1")
	f.Add("processor: 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n", "0,2-3")
	f.Add("processor : -5\ncore id : -1\nphysical id : 99999999999999999999\n", "1-0")
	f.Add(":::\n\n:\nprocessor 0: version = FF\n", ",")
	f.Fuzz(func(t *testing.T, cpuinfo, list string) {
		r := tree(map[string]string{
			"proc/cpuinfo": cpuinfo,
			"sys/devices/system/cpu/cpu0/topology/core_cpus_list":      list,
			"sys/devices/system/cpu/cpu0/topology/package_cpus_list":   list,
			"sys/devices/system/cpu/cpu0/topology/physical_package_id": list,
			"sys/devices/system/cpu/cpu0/cache/index0/level":           "3",
			"sys/devices/system/cpu/cpu0/cache/index0/shared_cpu_list": list,
		})
		blocks := parseCPUInfo(cpuinfo)
		cpus := r.cpus(blocks, nil)
		if len(cpus) == 0 {
			t.Error("no processor at all")
		}
		for i, c := range cpus {
			if c.Core < 0 || c.Socket < 0 || i > 0 && c.Number <= cpus[i-1].Number {
				t.Errorf("processor %d of %+v", i, cpus)
			}
		}
		r.virtualization(blocks, list)
	})
}
