package host

import (
	"testing"

	"github.com/loopcheck/loopcheck/probe/topology"
)

// Nothing in /proc may bring the reading down, whatever the kernel or a
// container runtime puts there.
func FuzzCPUInfo(f *testing.F) {
	f.Add("processor\t: 0\nmodel name\t: Intel\nflags\t: fpu hypervisor\n\nprocessor\t: 1\n", "0-1")
	f.Add("processor: 0\nCPU implementer : 0x41\nCPU part : 0xd0c\n", "0,2-3")
	f.Add("processor : -5\ncore id : -1\nphysical id : 99999999999999999999\n", "1-0")
	f.Add(":::\n\n:\nprocessor 0: version = FF\n", ",")
	f.Fuzz(func(t *testing.T, cpuinfo, list string) {
		r := tree(map[string]string{"proc/cpuinfo": cpuinfo})
		r.virtualization(topology.ParseCPUInfo(cpuinfo), list)
		if cpus := r.cpus(nil); len(cpus) == 0 {
			t.Error("no processor at all")
		}
	})
}
