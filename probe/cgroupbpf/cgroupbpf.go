// Package cgroupbpf answers which BPF programs of control groups stand before
// the socket calls and packets of this process (cgroups(7);
// Documentation/bpf/prog_cgroup_sockopt.rst, BPF_PROG_TYPE_CGROUP_SKB and
// BPF_PROG_TYPE_CGROUP_SOCK_ADDR): they may refuse a bind, connect or sendto, or
// drop what is sent and received, and no list of firewall rules shows them.
//
// It is implemented on Linux. Elsewhere Read returns an error that wraps
// errors.ErrUnsupported.
package cgroupbpf

import "fmt"

// Program is one that is attached.
type Program struct {
	// Group is the folder of the control group that it is attached to.
	Group string
	// Outside is the folder of the nearest group around it that has no program
	// of this kind; empty where there is none.
	Outside string
	// At is where it stands, in the words of bpftool(8): "connect4", "egress".
	At string
	ID uint32
	// Name is what its author called it; empty where this user may not see it.
	Name string
}

func (p Program) String() string {
	if p.Name == "" {
		return fmt.Sprintf("program %d at %s of %s", p.ID, p.At, p.Group)
	}
	return fmt.Sprintf("program %d (%s) at %s of %s", p.ID, p.Name, p.At, p.Group)
}
