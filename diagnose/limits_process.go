package diagnose

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
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
		more := userProcesses()
		more.Findings = append(more.Findings, groupProcesses().Findings...)
		return more
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
	if s.Missing == "processes" {
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

// userProcesses finds a limit of processes that the user has reached. It does
// not hold for root, and for those who may exceed it (getrlimit(2)).
func userProcesses() Diagnosis {
	limits, err := readLimits()
	limit, known := limits[process.MaxProcesses]
	rights, rightsErr := readRights()
	if err != nil || rightsErr != nil || !known || limit.Soft == process.Unlimited ||
		rights.UID == 0 || rights.Effective.Has(process.SysResource) || rights.Effective.Has(process.SysAdmin) {
		return Diagnosis{}
	}
	running := threadsOf(rights.UID)
	if float64(running) < nearly*float64(limit.Soft) {
		return Diagnosis{}
	}
	const id = "process-limit"
	remedy := Remedy{Command: fmt.Sprintf("ulimit -u %s", limitText(limit.Hard)), Cause: id}
	if limit.Hard <= limit.Soft {
		remedy = Remedy{
			Command: fmt.Sprintf("ulimit -u %d", 4*limit.Soft), Cause: id,
			Note: "the hard limit is as low, so that it takes root; in a systemd unit it is LimitNPROC=",
		}
	}
	return found(Finding{
		Cause: Cause{
			ID:       id,
			Summary:  fmt.Sprintf("User %d may run %d processes and threads here, and runs about as many.", rights.UID, limit.Soft),
			Evidence: []string{fmt.Sprintf("RLIMIT_NPROC: soft %d, hard %s; threads of the user in /proc: %d", limit.Soft, limitText(limit.Hard), running)},
		},
		Remedies: []Remedy{remedy},
	})
}

// threadsOf counts the threads of a user, as far as /proc shows them.
func threadsOf(uid int) int {
	count := 0
	statuses, _ := fs.Glob(files, "proc/[0-9]*/status")
	for _, name := range statuses {
		text, err := fs.ReadFile(files, name)
		if err != nil || process.Parse(string(text)).UID != uid {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if rest, is := strings.CutPrefix(line, "Threads:"); is {
				threads, _ := strconv.Atoi(strings.TrimSpace(rest))
				count += threads
			}
		}
	}
	return count
}

// groupProcesses finds a control group whose limit of processes is reached
// (pids.max in Documentation/admin-guide/cgroup-v2.rst).
func groupProcesses() Diagnosis {
	for _, folder := range controlGroups("pids") {
		limit, err := readCount(path.Join(folder, "pids.max"))
		if err != nil {
			continue
		}
		running, err := readCount(path.Join(folder, "pids.current"))
		if err != nil || float64(running) < nearly*float64(limit) {
			continue
		}
		const id = "cgroup-pids-max"
		return found(Finding{
			Cause: Cause{
				ID:       id,
				Summary:  fmt.Sprintf("The control group of this process may hold %d processes and threads, and holds about as many.", limit),
				Evidence: []string{fmt.Sprintf("/%s/pids.max: %d; pids.current: %d", folder, limit, running)},
			},
			Remedies: []Remedy{{
				Command: fmt.Sprintf("echo max > /%s/pids.max", quoted(folder)), Cause: id,
				Note: "for good it is TasksMax= of a systemd unit, or --pids-limit of a container",
			}},
		})
	}
	return Diagnosis{}
}
