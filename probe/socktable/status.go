package socktable

import (
	"bytes"
	"strconv"
	"strings"
)

// setStatus reads Name and Uid of /proc/PID/status (proc_pid_status(5)).
func (o *Owner) setStatus(text []byte) {
	for line := range bytes.Lines(text) {
		key, value, _ := bytes.Cut(bytes.TrimSuffix(line, []byte("\n")), []byte(":\t"))
		switch string(key) {
		case "Name":
			o.Name = unescapedName.Replace(string(value))
		case "Uid":
			// Real, effective, saved and file system user.
			if fields := bytes.Fields(value); len(fields) == 4 {
				if uid, err := strconv.ParseInt(string(fields[1]), 10, 64); err == nil {
					o.UID = uid
				}
			}
			return
		}
	}
}

// unescapedName undoes what the kernel does to keep a name on its line.
var unescapedName = strings.NewReplacer(`\n`, "\n", `\\`, `\`)

// cgroupPath picks a hierarchy's path from /proc/PID/cgroup (cgroups(7)).
func cgroupPath(text []byte) string {
	path := ""
	for line := range bytes.Lines(text) {
		line = bytes.TrimSuffix(line, []byte("\n"))
		if unified, ok := bytes.CutPrefix(line, []byte("0::")); ok {
			return string(unified)
		}
		if _, systemd, ok := bytes.Cut(line, []byte(":name=systemd:")); ok {
			path = string(systemd)
		}
	}
	return path
}

// taskState reads the state and the flags of /proc/PID/stat
// (proc_pid_stat(5)): 'Z' for a thread that has ended, and whether it is one of
// the kernel's own.
func taskState(text []byte) (state byte, kernel bool) {
	const flagKernelThread = 0x00200000 // PF_KTHREAD, linux/sched.h
	// The name before it may hold any byte, a closing parenthesis too.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	if len(fields) < 7 {
		return 0, false
	}
	flags, err := strconv.ParseUint(string(fields[6]), 10, 64)
	return fields[0][0], err == nil && flags&flagKernelThread != 0
}
