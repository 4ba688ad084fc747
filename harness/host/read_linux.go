package host

import (
	"bytes"
	"cmp"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/klauspost/cpuid/v2"
	"golang.org/x/sys/unix"

	"github.com/loopcheck/loopcheck/probe/process"
	"github.com/loopcheck/loopcheck/probe/topology"
)

// root is the file tree of a machine: of this one, or one that a test keeps.
type root struct{ files fs.FS }

var thisMachine = root{os.DirFS("/")}

// read returns a file's content. The tree's own ReadFile has to do it: the
// kernel gives a number under /proc/sys to the first read only, so that one
// with a small buffer loses digits.
func (r root) read(path string) ([]byte, error) {
	return fs.ReadFile(r.files, path)
}

// text returns a file's content without the white space around it. What cannot
// be read counts as empty.
func (r root) text(path string) string {
	content, err := r.read(path)
	if err != nil {
		return ""
	}
	return string(bytes.TrimSpace(content))
}

func (r root) exists(path string) bool {
	_, err := fs.Stat(r.files, path)
	return err == nil
}

func readSystem(f *Facts) {
	var uts unix.Utsname
	if unix.Uname(&uts) == nil {
		f.Kernel = unix.ByteSliceToString(uts.Release[:])
	}
	f.Limits = limits()
	allowed, _ := topology.Allowed() // nil where it cannot be told
	thisMachine.describe(f, allowed, cpuid.CPU.HypervisorVendorString)
}

// describe fills in what files tell. The processors this process may run on and
// the hypervisor's signature come from instructions of their own.
func (r root) describe(f *Facts, allowed []int, signature string) {
	if name := r.osName(); name != "" {
		f.OS = name
	}
	blocks := topology.ParseCPUInfo(r.text("proc/cpuinfo"))
	f.CPUs = r.cpus(allowed)
	f.Virtualization = r.virtualization(blocks, signature)
	f.Container = r.container()
	f.Capabilities = process.Parse(r.text("proc/self/status")).Effective.Names()
	f.ClockSource = r.clockSource()
	f.Idle = r.idle()
	f.Sysctls = r.sysctls()
}

// osName is the name a distribution gives itself, os-release(5).
func (r root) osName() string {
	for _, path := range []string{"etc/os-release", "usr/lib/os-release"} {
		for line := range strings.Lines(r.text(path)) {
			if value, ok := strings.CutPrefix(strings.TrimSpace(line), "PRETTY_NAME="); ok {
				return unquoteShell(value)
			}
		}
	}
	return ""
}

// unquoteShell undoes the quoting that os-release(5) allows: one pair of
// quotes around the value, backslashes within double ones.
func unquoteShell(s string) string {
	if len(s) < 2 || s[0] != s[len(s)-1] || s[0] != '"' && s[0] != '\'' {
		return s
	}
	inner := s[1 : len(s)-1]
	if s[0] == '\'' {
		return inner
	}
	var b strings.Builder
	escaped := false
	for _, c := range []byte(inner) {
		if c == '\\' && !escaped {
			escaped = true
			continue
		}
		escaped = false
		b.WriteByte(c)
	}
	return b.String()
}

func (r root) clockSource() string {
	return r.text("sys/devices/system/clocksource/clocksource0/current_clocksource")
}

// loadAverage is that of the last minute, proc_loadavg(5).
func (r root) idle() Idle {
	const processors = "sys/devices/system/cpu/"
	return Idle{
		Driver:          r.text(processors + "cpuidle/current_driver"),
		Governor:        cmp.Or(r.text(processors+"cpuidle/current_governor_ro"), r.text(processors+"cpuidle/current_governor")),
		GuestHaltPollNS: r.text("sys/module/haltpoll/parameters/guest_halt_poll_ns"),
		Frequency:       r.text(processors + "cpu0/cpufreq/scaling_governor"),
	}
}

func (r root) loadAverage() float64 {
	first, _, _ := strings.Cut(r.text("proc/loadavg"), " ")
	load, err := strconv.ParseFloat(first, 64)
	// ParseFloat also reads "nan" and "inf", which JSON has no form for.
	if err != nil || !(load >= 0 && load < 1e9) {
		return 0
	}
	return load
}

func clockSource() string { return thisMachine.clockSource() }

func loadAverage() float64 { return thisMachine.loadAverage() }
