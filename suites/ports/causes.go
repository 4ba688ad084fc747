package ports

// Causes and remedies that several checks name.
const (
	otherStack     = "a user-space stack or sandbox (gVisor, WSL 1) that behaves in another way"
	ownStack       = "run the program on the kernel's own stack"
	cgroupPrograms = "an eBPF program at the cgroup's bind or connect hook rewrites the address or refuses the call"
	listPrograms   = "list the programs at the hooks: `bpftool cgroup tree`"
)
