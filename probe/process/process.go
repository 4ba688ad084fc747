// Package process answers what the calling thread may do: whose it is, which
// capabilities and limits it has, and which system calls a filter refuses it.
package process

import (
	"fmt"
	"strconv"
	"strings"
)

// Status is what the kernel says of a thread's rights (proc_pid_status(5)).
type Status struct {
	UID, GID int // the effective ones
	// Groups are the supplementary ones.
	Groups []int
	// Effective is what is asked for each operation; Bounding is what the
	// thread and its children could ever have.
	Effective, Bounding Capabilities
	// Filtered says that a seccomp filter is in force (seccomp(2)), and Filters
	// how many: 0 where the kernel does not tell, before Linux 5.9.
	Filtered bool
	Filters  int
}

// Parse reads a status file. Lines that are missing or malformed leave their
// fields empty, which is the state of least rights.
func Parse(text string) Status {
	var s Status
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		switch fields := strings.Fields(value); strings.TrimSpace(key) {
		case "Uid":
			s.UID = effective(fields)
		case "Gid":
			s.GID = effective(fields)
		case "Groups":
			for _, field := range fields {
				if group, err := strconv.Atoi(field); err == nil {
					s.Groups = append(s.Groups, group)
				}
			}
		case "CapEff":
			s.Effective = parseCapabilities(fields)
		case "CapBnd":
			s.Bounding = parseCapabilities(fields)
		case "Seccomp":
			s.Filtered = len(fields) > 0 && fields[0] == "2"
		case "Seccomp_filters":
			s.Filters = number(fields)
		}
	}
	return s
}

func number(fields []string) int {
	if len(fields) != 1 {
		return 0
	}
	n, err := strconv.Atoi(fields[0])
	if err != nil {
		return 0
	}
	return n
}

// effective is the second of the real, effective, saved and file system IDs;
// -1 for none.
func effective(fields []string) int {
	if len(fields) < 2 {
		return -1
	}
	id, err := strconv.Atoi(fields[1])
	if err != nil {
		return -1
	}
	return id
}

// Capabilities is a set of them, a bit each (capabilities(7)).
type Capabilities uint64

// Numbers of capabilities that are asked about by name.
const (
	Chown          = 0
	DACOverride    = 1
	Kill           = 5
	SetGID         = 6
	SetUID         = 7
	NetBindService = 10
	NetAdmin       = 12
	NetRaw         = 13
	LockMemory     = 14
	SysAdmin       = 21
	SysResource    = 24
)

// Has says whether a capability is in the set, by its number.
func (c Capabilities) Has(number int) bool { return c&(1<<number) != 0 }

// Names lists the set in the order of the numbers. One that a later kernel
// added goes by its number.
func (c Capabilities) Names() []string {
	names := []string{}
	for n := range 64 {
		switch {
		case !c.Has(n):
		case n < len(capabilityNames):
			names = append(names, capabilityNames[n])
		default:
			names = append(names, fmt.Sprintf("CAP_%d", n))
		}
	}
	return names
}

func parseCapabilities(fields []string) Capabilities {
	if len(fields) != 1 {
		return 0
	}
	bits, err := strconv.ParseUint(fields[0], 16, 64)
	if err != nil {
		return 0
	}
	return Capabilities(bits)
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
