package diagnose

import (
	"context"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"

	"github.com/loopcheck/loopcheck/probe/process"
)

// holding makes the test see these files and no other, given as path and
// content in turn.
func holding(t *testing.T, pathsAndContents ...string) {
	t.Helper()
	old := files
	t.Cleanup(func() { files = old })
	made := fstest.MapFS{}
	for i := 0; i < len(pathsAndContents); i += 2 {
		made[pathsAndContents[i]] = &fstest.MapFile{Data: []byte(pathsAndContents[i+1])}
	}
	files = fs.FS(made)
}

func limited(t *testing.T, name string, limit process.Limit) {
	t.Helper()
	old := readLimits
	t.Cleanup(func() { readLimits = old })
	readLimits = func() (map[string]process.Limit, error) { return map[string]process.Limit{name: limit}, nil }
}

func TestLockedMemory(t *testing.T) {
	zerocopy := Symptom{Check: "TCP-041", Message: "send with MSG_ZEROCOPY: " + syscall.ENOBUFS.Error()}
	for name, c := range map[string]struct {
		limit   process.Limit
		rights  process.Status
		symptom Symptom
		id      string
	}{
		"none at all":      {process.Limit{}, process.Status{}, zerocopy, "locked-memory-limit"},
		"the usual":        {process.Limit{Soft: usualLocked, Hard: usualLocked}, process.Status{}, zerocopy, ""},
		"no limit":         {process.Limit{Soft: process.Unlimited, Hard: process.Unlimited}, process.Status{}, zerocopy, ""},
		"it does not hold": {process.Limit{}, process.Status{Effective: 1 << process.LockMemory}, zerocopy, ""},
		"another call":     {process.Limit{}, process.Status{}, Symptom{Check: "UDP-001", Message: "sendto: " + syscall.ENOBUFS.Error()}, ""},
		"skipped for it":   {process.Limit{}, process.Status{}, Symptom{Check: "TCP-041", Missing: "locked memory"}, "locked-memory-limit"},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{rights: c.rights})
			limited(t, process.MaxLockedMemory, c.limit)
			expectOne(t, limits(t.Context(), c.symptom), c.id, "ulimit -l 8192")
		})
	}
}

func TestProcessesOfAUser(t *testing.T) {
	forked := Symptom{Message: "fork/exec /bin/sh: " + syscall.EAGAIN.Error()}
	status := func(uid, threads string) string {
		return "Uid:\t" + uid + "\t" + uid + "\t" + uid + "\t" + uid + "\nThreads:\t" + threads + "\n"
	}
	for name, c := range map[string]struct {
		rights  process.Status
		limit   process.Limit
		symptom Symptom
		id      string
		command string
	}{
		"reached":              {process.Status{UID: 1000}, process.Limit{Soft: 40, Hard: 40}, forked, "process-limit", "prlimit --pid $$ --nproc=160:160"},
		"reached, soft":        {process.Status{UID: 1000}, process.Limit{Soft: 40, Hard: 4000}, forked, "process-limit", "prlimit --pid $$ --nproc=4000:4000"},
		"not reached":          {process.Status{UID: 1000}, process.Limit{Soft: 60, Hard: 60}, forked, "", ""},
		"none":                 {process.Status{UID: 1000}, process.Limit{Soft: process.Unlimited, Hard: process.Unlimited}, forked, "", ""},
		"root":                 {process.Status{}, process.Limit{Soft: 40, Hard: 40}, forked, "", ""},
		"it does not hold":     {process.Status{UID: 1000, Effective: 1 << process.SysResource}, process.Limit{Soft: 40, Hard: 40}, forked, "", ""},
		"little left":          {process.Status{UID: 1000}, process.Limit{Soft: 100, Hard: 400}, Symptom{Check: processesCheck, Message: "62 more"}, "process-limit", "prlimit --pid $$ --nproc=400:400"},
		"something else waits": {process.Status{UID: 1000}, process.Limit{Soft: 40, Hard: 40}, Symptom{Message: "recv: " + syscall.EAGAIN.Error()}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{rights: c.rights})
			limited(t, process.MaxProcesses, c.limit)
			holding(t, "proc/1/status", status("0", "300"), "proc/20/status", status("1000", "30"), "proc/21/status", status("1000", "8"))
			expectOne(t, limits(t.Context(), c.symptom), c.id, c.command)
		})
	}
}

func TestProcessesOfAControlGroup(t *testing.T) {
	on(t, machine{})
	limited(t, process.MaxOpenFiles, process.Limit{})
	symptom := Symptom{Missing: "processes"}
	for name, c := range map[string]struct {
		files   []string
		command string
	}{
		"of version 2, above": {[]string{
			"proc/self/cgroup", "0::/system.slice/x.service\n",
			"sys/fs/cgroup/system.slice/x.service/pids.max", "max\n",
			"sys/fs/cgroup/system.slice/pids.max", "100\n", "sys/fs/cgroup/system.slice/pids.current", "99\n",
		}, "echo max > /sys/fs/cgroup/system.slice/pids.max"},
		"of version 1": {[]string{
			"proc/self/cgroup", "9:name=systemd:/\n8:pids:/a\n0::/\n",
			"sys/fs/cgroup/pids/a/pids.max", "100\n", "sys/fs/cgroup/pids/a/pids.current", "100\n",
		}, "echo max > /sys/fs/cgroup/pids/a/pids.max"},
		"in a container, without a namespace of its own": {[]string{
			"proc/self/cgroup", "0::/system.slice/docker-1.scope\n",
			"sys/fs/cgroup/pids.max", "10\n", "sys/fs/cgroup/pids.current", "10\n",
		}, "echo max > /sys/fs/cgroup/pids.max"},
		"not reached": {[]string{
			"proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/pids.max", "100\n", "sys/fs/cgroup/a/pids.current", "50\n",
		}, ""},
		"no control groups": {nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			holding(t, c.files...)
			id := ""
			if c.command != "" {
				id = "cgroup-pids-max"
			}
			expectOne(t, limits(t.Context(), symptom), id, c.command)
		})
	}
}

func TestMemory(t *testing.T) {
	asked := Symptom{Message: "socket: " + syscall.ENOMEM.Error()}
	for name, c := range map[string]struct {
		files   []string
		symptom Symptom
		id      string
	}{
		"of a control group": {[]string{
			"proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "1000000\n", "sys/fs/cgroup/a/memory.current", "990000\n",
		}, asked, "cgroup-memory-max"},
		"of version 1": {[]string{
			"proc/self/cgroup", "4:memory:/a\n", "sys/fs/cgroup/memory/a/memory.limit_in_bytes", "1000000\n", "sys/fs/cgroup/memory/a/memory.usage_in_bytes", "990000\n",
		}, asked, "cgroup-memory-max"},
		"enough": {[]string{
			"proc/self/cgroup", "0::/a\n", "sys/fs/cgroup/a/memory.max", "1000000\n", "sys/fs/cgroup/a/memory.current", "500000\n",
			"proc/pressure/memory", "some avg10=30.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=0\n",
		}, asked, ""},
		"pressure": {[]string{
			"proc/pressure/memory", "some avg10=60.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=42.50 avg60=0.00 avg300=0.00 total=0\n",
		}, asked, "memory-pressure"},
		"another failure": {[]string{
			"proc/pressure/memory", "full avg10=42.50 avg60=0.00 avg300=0.00 total=0\n",
		}, Symptom{Message: "connection refused"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			holding(t, c.files...)
			d := memory(t.Context(), c.symptom)
			if c.id == "" {
				expectOne(t, d, "", "")
			} else if len(d.Findings) != 1 || d.Findings[0].Cause.ID != c.id || len(d.Findings[0].Cause.Evidence) == 0 {
				t.Errorf("found %+v, want %s", d.Findings, c.id)
			}
		})
	}
}

func TestInheritedFiles(t *testing.T) {
	old := readInherited
	t.Cleanup(func() { readInherited = old })
	for name, c := range map[string]struct {
		limit   process.Limit
		id      string
		command string
	}{
		"low":                              {process.Limit{Soft: 64, Hard: 4096}, "open-file-limit", "ulimit -n 4096"},
		"low, and not much":                {process.Limit{Soft: 64, Hard: 2048}, "open-file-limit", "ulimit -n 2048"},
		"enough but for what was expected": {process.Limit{Soft: 64000, Hard: 128000}, "open-file-limit", "ulimit -n 128000"},
	} {
		t.Run(name, func(t *testing.T) {
			on(t, machine{files: fileLimit{soft: 4096, hard: 4096}})
			readInherited = func(context.Context) (process.Limit, error) { return c.limit, nil }
			d := Find(t.Context(), Symptom{Check: inheritedFilesCheck, Message: "64 files may be opened", Sandboxed: true})
			expectOne(t, d, c.id, c.command)
			if c.id != "" && !strings.Contains(d.Findings[0].Cause.Evidence[0], "as inherited: soft 64") {
				t.Errorf("evidence %q", d.Findings[0].Cause.Evidence)
			}
		})
	}
}
