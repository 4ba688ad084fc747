package host

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// parseStatus reads the "key: value" lines of /proc/PID/status.
func parseStatus(text string) map[string]string {
	values := map[string]string{}
	for line := range strings.Lines(text) {
		if key, value, ok := strings.Cut(line, ":"); ok {
			values[strings.TrimSpace(key)] = strings.TrimSpace(value)
		}
	}
	return values
}

// capabilityNames stand in the order of their numbers.
//
// Source: capabilities(7), include/uapi/linux/capability.h.
var capabilityNames = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER",
	"CAP_FSETID", "CAP_KILL", "CAP_SETGID", "CAP_SETUID",
	"CAP_SETPCAP", "CAP_LINUX_IMMUTABLE", "CAP_NET_BIND_SERVICE", "CAP_NET_BROADCAST",
	"CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_IPC_LOCK", "CAP_IPC_OWNER",
	"CAP_SYS_MODULE", "CAP_SYS_RAWIO", "CAP_SYS_CHROOT", "CAP_SYS_PTRACE",
	"CAP_SYS_PACCT", "CAP_SYS_ADMIN", "CAP_SYS_BOOT", "CAP_SYS_NICE",
	"CAP_SYS_RESOURCE", "CAP_SYS_TIME", "CAP_SYS_TTY_CONFIG", "CAP_MKNOD",
	"CAP_LEASE", "CAP_AUDIT_WRITE", "CAP_AUDIT_CONTROL", "CAP_SETFCAP",
	"CAP_MAC_OVERRIDE", "CAP_MAC_ADMIN", "CAP_SYSLOG", "CAP_WAKE_ALARM",
	"CAP_BLOCK_SUSPEND", "CAP_AUDIT_READ", "CAP_PERFMON", "CAP_BPF",
	"CAP_CHECKPOINT_RESTORE",
}

// capabilities names the bits of a mask as /proc/PID/status writes it. One that
// a later kernel added goes by its number.
func capabilities(mask string) []string {
	names := []string{}
	bits, err := strconv.ParseUint(mask, 16, 64)
	if err != nil {
		return names
	}
	for n := range 64 {
		switch {
		case bits&(1<<n) == 0:
		case n < len(capabilityNames):
			names = append(names, capabilityNames[n])
		default:
			names = append(names, fmt.Sprintf("CAP_%d", n))
		}
	}
	return names
}

// resources are the limits that a program of many sockets, threads or locked
// pages runs into, by the name of setrlimit(2) without its prefix.
var resources = map[string]int{
	"as":         unix.RLIMIT_AS,
	"core":       unix.RLIMIT_CORE,
	"cpu":        unix.RLIMIT_CPU,
	"data":       unix.RLIMIT_DATA,
	"fsize":      unix.RLIMIT_FSIZE,
	"memlock":    unix.RLIMIT_MEMLOCK,
	"msgqueue":   unix.RLIMIT_MSGQUEUE,
	"nice":       unix.RLIMIT_NICE,
	"nofile":     unix.RLIMIT_NOFILE,
	"nproc":      unix.RLIMIT_NPROC,
	"rtprio":     unix.RLIMIT_RTPRIO,
	"sigpending": unix.RLIMIT_SIGPENDING,
	"stack":      unix.RLIMIT_STACK,
}

// limits reads those of this process. The soft limit of open files is the hard
// one as a rule: the Go runtime raises it when a program starts.
func limits() map[string]Limit {
	found := map[string]Limit{}
	for name, resource := range resources {
		var limit unix.Rlimit
		if unix.Getrlimit(resource, &limit) == nil {
			found[name] = Limit{Soft: limitValue(limit.Cur), Hard: limitValue(limit.Max)}
		}
	}
	return found
}

// limitValue takes RLIM_INFINITY, and what no int64 holds, for unlimited.
func limitValue(n uint64) int64 {
	if n > 1<<63-1 {
		return -1
	}
	return int64(n)
}
