package host

import (
	"maps"
	"runtime"
	"slices"
	"testing"

	"golang.org/x/tools/txtar"
)

// machine is the file tree of another machine, kept in testdata.
func machine(t *testing.T, name string) root {
	t.Helper()
	archive, err := txtar.ParseFile("testdata/" + name + ".txtar")
	if err != nil {
		t.Fatal(err)
	}
	files, err := txtar.FS(archive)
	if err != nil {
		t.Fatal(err)
	}
	return root{files}
}

func TestBareMetalWithTwoSocketsAndSMT(t *testing.T) {
	var f Facts
	machine(t, "bare-metal-smt-two-sockets").describe(&f, []int{0, 1, 2, 3, 4, 5, 6, 7}, "")

	expect(t, "OS", f.OS, "Ubuntu 22.04.4 LTS")
	expect(t, "virtualization", f.Virtualization, "none")
	expect(t, "container", f.Container, "")
	expect(t, "clock source", f.ClockSource, "tsc")
	expectAll(t, "capabilities", f.Capabilities, []string{"CAP_NET_RAW"})

	const xeon = "Intel(R) Xeon(R) Gold 6226R CPU @ 2.90GHz"
	expectAll(t, "processors", f.CPUs, []CPU{
		{Number: 0, Model: xeon, Core: 0, Socket: 0, LLC: "0-1,4-5"},
		{Number: 1, Model: xeon, Core: 1, Socket: 0, LLC: "0-1,4-5"},
		{Number: 2, Model: xeon, Core: 2, Socket: 1, LLC: "2-3,6-7"},
		{Number: 3, Model: xeon, Core: 3, Socket: 1, LLC: "2-3,6-7"},
		{Number: 4, Model: xeon, Core: 0, Socket: 0, LLC: "0-1,4-5"},
		{Number: 5, Model: xeon, Core: 1, Socket: 0, LLC: "0-1,4-5"},
		{Number: 6, Model: xeon, Core: 2, Socket: 1, LLC: "2-3,6-7"},
		{Number: 7, Model: xeon, Core: 3, Socket: 1, LLC: "2-3,6-7"},
	})

	want := map[string]string{
		"net.core.somaxconn":            "4096",
		"net.ipv4.ip_local_port_range":  "32768 60999",
		"net.ipv4.tcp_rmem":             "4096 131072 6291456",
		"net.ipv6.conf.lo.disable_ipv6": "0",
	}
	if !maps.Equal(f.Sysctls, want) {
		t.Errorf("settings are %v, want %v and no entry for those that are missing", f.Sysctls, want)
	}
}

func TestOnlyAllowedProcessorsAreListed(t *testing.T) {
	var f Facts
	machine(t, "bare-metal-smt-two-sockets").describe(&f, []int{3, 7}, "")

	var numbers []int
	for _, c := range f.CPUs {
		numbers = append(numbers, c.Number)
	}
	expectAll(t, "processors", numbers, []int{3, 7})
}

func TestIdleStatesOfAMachine(t *testing.T) {
	var f Facts
	machine(t, "bare-metal-smt-two-sockets").describe(&f, nil, "")
	expect(t, "idle", f.Idle, Idle{Driver: "intel_idle", Governor: "menu", Frequency: "performance"})

	guest := tree(map[string]string{
		"sys/devices/system/cpu/cpuidle/current_driver":     "haltpoll\n",
		"sys/devices/system/cpu/cpuidle/current_governor":   "haltpoll\n",
		"sys/module/haltpoll/parameters/guest_halt_poll_ns": "200000\n",
	})
	expect(t, "idle of a guest", guest.idle(), Idle{Driver: "haltpoll", Governor: "haltpoll", GuestHaltPollNS: "200000"})
}

func TestContainerWithoutSys(t *testing.T) {
	var f Facts
	machine(t, "container-without-sys").describe(&f, []int{1, 3}, "KVMKVMKVM\x00\x00\x00")

	expect(t, "OS", f.OS, "Alpine Linux v3.20")
	expect(t, "virtualization", f.Virtualization, "kvm")
	expect(t, "container", f.Container, "kubernetes")
	expect(t, "clock source", f.ClockSource, "")
	expect(t, "idle", f.Idle, Idle{})
	const epyc = "AMD EPYC 7R13 Processor"
	expectAll(t, "processors", f.CPUs, []CPU{
		{Number: 1, Model: epyc, Core: 0},
		{Number: 3, Model: epyc, Core: 1},
	})
	expectAll(t, "capabilities", f.Capabilities, []string{
		"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
		"CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_NET_RAW", "CAP_SYS_CHROOT", "CAP_MKNOD", "CAP_AUDIT_WRITE", "CAP_SETFCAP",
	})
}

func TestArm64Board(t *testing.T) {
	var f Facts
	machine(t, "arm64-board").describe(&f, nil, "")

	expect(t, "virtualization", f.Virtualization, "none")
	expect(t, "clock source", f.ClockSource, "arch_sys_counter")
	expectAll(t, "capabilities", f.Capabilities, []string{})
	expectAll(t, "processors", f.CPUs, []CPU{
		{Number: 0, Model: "Cortex-A72", Core: 0, LLC: "0-3"},
		{Number: 1, Model: "Cortex-A72", Core: 1, LLC: "0-3"},
		{Number: 2, Model: "Cortex-A72", Core: 2, LLC: "0-3"},
		{Number: 3, Model: "Cortex-A72", Core: 3, LLC: "0-3"},
	})
}

func TestEmptyProc(t *testing.T) {
	f := Facts{OS: "linux"}
	machine(t, "empty-proc").describe(&f, nil, "")

	expect(t, "OS", f.OS, "linux")
	expect(t, "virtualization", f.Virtualization, "")
	expect(t, "container", f.Container, "")
	expect(t, "number of processors", len(f.CPUs), runtime.NumCPU())
	expect(t, "number of settings", len(f.Sysctls), 0)
	expect(t, "load", machine(t, "empty-proc").loadAverage(), 0)
	if f.Capabilities == nil || f.Sysctls == nil {
		t.Errorf("capabilities %#v and settings %#v must be empty, not null, in the report", f.Capabilities, f.Sysctls)
	}
}

func TestLoadAverage(t *testing.T) {
	expect(t, "load", machine(t, "bare-metal-smt-two-sockets").loadAverage(), 0.42)
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func expectAll[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}
