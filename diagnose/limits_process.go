package diagnose

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"syscall"

	"github.com/loopcheck/loopcheck/probe/process"
)

const (
	// usualLocked is what the kernel lets a process lock unless told otherwise
	// (MLOCK_LIMIT, 8 MiB since Linux 5.16).
	usualLocked = 8 << 20
	// nearly is the part of a limit from which on it is taken for reached: what
	// was in the way may be gone again.
	nearly = 0.9
)

// processesCheck asks for room for so many more processes and threads.
const processesCheck = "LIM-017"

// readLimits and files are variables so that tests can show machines that this
// one is not.
var (
	readLimits       = process.ReadLimits
	files      fs.FS = os.DirFS("/")
)

// limits finds limits of this process, its user or its control group that kept
// it from locking memory or from starting threads and programs.
func limits(_ context.Context, s Symptom) Diagnosis {
	switch {
	case s.lacksLockedMemory():
		return lockedMemory()
	case s.lacksProcesses():
		return processes(s)
	}
	return Diagnosis{}
}

// lacksLockedMemory says whether the check may have met the limit of locked
// memory: the pages that are sent without being copied count to it.
func (s Symptom) lacksLockedMemory() bool {
	return strings.Contains(s.Missing, "locked memory") || s.says(syscall.ENOBUFS) &&
		(s.Check == "TCP-041" || strings.Contains(strings.ToLower(s.Message), "zerocopy"))
}

// lacksProcesses says whether the check may have met a limit of processes, to
// which threads count (clone(2), EAGAIN).
func (s Symptom) lacksProcesses() bool {
	if s.Check == processesCheck || s.Missing == "processes" {
		return true
	}
	if !s.says(syscall.EAGAIN) {
		return false
	}
	for _, call := range []string{"fork", "clone", "thread"} {
		if strings.Contains(s.Message, call) {
			return true
		}
	}
	return false
}

func lockedMemory() Diagnosis {
	limits, err := readLimits()
	limit, known := limits[process.MaxLockedMemory]
	rights, rightsErr := readRights()
	if err != nil || rightsErr != nil || !known || limit.Soft >= usualLocked || rights.Effective.Has(process.LockMemory) {
		return Diagnosis{}
	}
	const id = "locked-memory-limit"
	remedy := Remedy{Command: fmt.Sprintf("ulimit -l %d", usualLocked>>10), Cause: id}
	if limit.Hard < usualLocked {
		remedy.Note = "the hard limit is as low, so that it takes root; in a systemd unit it is LimitMEMLOCK="
	}
	return found(Finding{
		Cause: Cause{
			ID:      id,
			Summary: fmt.Sprintf("A process may lock %d bytes of memory here, and what MSG_ZEROCOPY has under way counts to it.", limit.Soft),
			Evidence: []string{
				fmt.Sprintf("RLIMIT_MEMLOCK: soft %d bytes, hard %s", limit.Soft, limitText(limit.Hard)),
				"CAP_IPC_LOCK, which lifts it, is not in effect",
			},
		},
		Remedies: []Remedy{remedy},
	})
}

func limitText(value uint64) string {
	if value == process.Unlimited {
		return "unlimited"
	}
	return strconv.FormatUint(value, 10)
}

// processes finds the limits of processes that are about reached, or that leave
// little room where that is what the check asks about.
func processes(s Symptom) Diagnosis {
	limits, err := readLimits()
	rights, rightsErr := readRights()
	if err != nil || rightsErr != nil {
		return Diagnosis{}
	}
	var d Diagnosis
	for _, room := range process.Rooms(files, rights, limits) {
		if s.Check == processesCheck && room.Left() >= process.UsualRoom || s.Check != processesCheck && float64(room.Running) < nearly*float64(room.Soft) {
			continue
		}
		if room.Group == "" {
			d.Findings = append(d.Findings, userProcesses(room))
		} else {
			d.Findings = append(d.Findings, groupProcesses(room))
		}
	}
	return d
}

func userProcesses(room process.Room) Finding {
	const id = "process-limit"
	remedy := Remedy{Command: fmt.Sprintf("prlimit --pid $$ --nproc=%[1]s:%[1]s", limitText(room.Hard)), Cause: id}
	if room.Hard <= room.Soft {
		remedy = Remedy{
			Command: fmt.Sprintf("prlimit --pid $$ --nproc=%[1]d:%[1]d", 4*room.Soft), Cause: id,
			Note: "the hard limit is as low, so that it takes root; in a systemd unit it is LimitNPROC=",
		}
	}
	return Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("User %d may run %d processes and threads here, and runs %d.", room.UID, room.Soft, room.Running),
			Evidence: []string{fmt.Sprintf("RLIMIT_NPROC: soft %d, hard %s; threads of the user in /proc: %d", room.Soft, limitText(room.Hard), room.Running)},
		},
		Remedies: []Remedy{remedy},
	}
}

func groupProcesses(room process.Room) Finding {
	const id = "cgroup-pids-max"
	return Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("The control group of this process may hold %d processes and threads, and holds %d.", room.Soft, room.Running),
			Evidence: []string{fmt.Sprintf("/%s/pids.max: %d; pids.current: %d", room.Group, room.Soft, room.Running)},
		},
		Remedies: []Remedy{{
			Command: fmt.Sprintf("echo max > /%s/pids.max", quoted(room.Group)), Cause: id,
			Note: "for good it is TasksMax= of a systemd unit, or --pids-limit of a container",
		}},
	}
}
