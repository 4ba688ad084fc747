// Package host says what machine a report is about: the facts that change how
// its loopback behaves or how fast it is, and how noisy it was meanwhile.
//
// A fact that could not be read is left empty; reading never fails as a whole.
package host

// Facts describes the machine.
type Facts struct {
	Hostname string `json:"hostname"`
	OS       string `json:"os"`     // "Debian GNU/Linux 12 (bookworm)"; GOOS where there is no os-release
	Kernel   string `json:"kernel"` // uname -r
	Arch     string `json:"arch"`   // GOARCH
	// CPUs holds the processors this process may run on.
	CPUs []CPU `json:"cpus"`
	// Virtualization names the hypervisor ("kvm", "xen", …), "none" on bare
	// metal, empty where it cannot be told.
	Virtualization string `json:"virtualization"`
	// Container names the container runtime, or is empty outside of one.
	Container    string   `json:"container"`
	Capabilities []string `json:"capabilities"` // effective, such as "CAP_NET_RAW"
	UID          int      `json:"uid"`          // effective user ID; -1 where there is none
	ClockSource  string   `json:"clock_source"`
	Idle         Idle     `json:"idle"`
	// Sysctls holds the settings that matter to loopback, by dotted name.
	Sysctls    map[string]string `json:"sysctls"`
	Interfaces []Interface       `json:"interfaces"`
	// Limits holds resource limits of this process, by the name of setrlimit(2)
	// in lower case and without its prefix, such as "nofile".
	Limits map[string]Limit `json:"limits"`
}

// CPU is one logical processor.
type CPU struct {
	Number int    `json:"number"`
	Model  string `json:"model"`
	Core   int    `json:"core"`   // logical processors with equal Socket and Core are SMT siblings
	Socket int    `json:"socket"` // physical package
	LLC    string `json:"llc"`    // processors that share the last-level cache, as a list such as "0-3"
}

// Idle is how the kernel puts processors to sleep, which decides what it takes to
// wake one, and how it clocks them (Documentation/admin-guide/pm/cpuidle.rst and
// cpufreq.rst). What the kernel does not tell is empty.
type Idle struct {
	Driver   string `json:"driver"`   // such as "intel_idle" or, in a virtual machine, "haltpoll"
	Governor string `json:"governor"` // that chooses among idle states
	// GuestHaltPollNS is for how long a virtual processor polls before it halts, at
	// most (Documentation/virt/guest-halt-polling.rst).
	GuestHaltPollNS string `json:"guest_halt_poll_ns"`
	// Frequency is the governor of the first processor's clock, such as "performance".
	Frequency string `json:"frequency_governor"`
}

// Interface is one network interface.
type Interface struct {
	Name      string   `json:"name"`
	MTU       int      `json:"mtu"`
	Flags     []string `json:"flags"`
	Addresses []string `json:"addresses"` // with prefix length
}

// Limit is a resource limit; -1 stands for unlimited.
type Limit struct {
	Soft int64 `json:"soft"`
	Hard int64 `json:"hard"`
}

// Noise is what disturbed the run, from its start to its end.
type Noise struct {
	// Steal is the share of processor time the hypervisor kept for others, 0 to 1.
	Steal float64 `json:"steal"`
	// PSICPU is the share of time in which a runnable task waited for a
	// processor (the "some" line of /proc/pressure/cpu), 0 to 1; -1 where the
	// kernel does not tell.
	PSICPU float64 `json:"psi_cpu"`
	// Load is the load average of the last minute at the end of the run.
	Load float64 `json:"load"`
	// ContextSwitches counts those of the whole machine during the run.
	ContextSwitches uint64 `json:"context_switches"`
	ClockSource     string `json:"clock_source"`
	// TimerOverheadNS is the cost of reading the clock twice.
	TimerOverheadNS float64 `json:"timer_overhead_ns"`
}
